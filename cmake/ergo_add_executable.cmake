# ergo_add_executable(NAME SOURCES...): a program on ergo, with everything that its headers may need. The same call
# serves a build tree (add_subdirectory, FetchContent) and an install tree (find_package), and with ERGO_CUDA=ON compiles
# the sources as CUDA.
include_guard(GLOBAL)

function(ergo_add_executable name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ergo::data)
  if(ERGO_CUDA STREQUAL "ON")
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CUDA)
  endif()
endfunction()
