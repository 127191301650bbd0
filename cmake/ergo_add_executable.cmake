# ergo_add_executable(NAME SOURCES...): a program on ergo, with everything that its headers may need. The same call
# serves a build tree (add_subdirectory, FetchContent) and an install tree (find_package).
include_guard(GLOBAL)

function(ergo_add_executable name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ergo::data)
endfunction()
