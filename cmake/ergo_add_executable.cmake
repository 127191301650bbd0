# ergo_add_executable(NAME [COMPILED] SOURCES...): a program on ergo, with everything that its headers may need; COMPILED
# links the archive ergo::compiled, which makes the sources compile several times faster. The same call serves a build
# tree (add_subdirectory, FetchContent) and an install tree (find_package), and with ERGO_CUDA=ON compiles the sources
# as CUDA.
include_guard(GLOBAL)

function(ergo_add_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 program COMPILED "" "")
  set(sources ${program_UNPARSED_ARGUMENTS})
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ergo::data)
  if(program_COMPILED)
    target_link_libraries(${name} PRIVATE ergo::compiled)
  endif()
  if(ERGO_CUDA STREQUAL "ON")
    set_source_files_properties(${sources} PROPERTIES LANGUAGE CUDA)
  endif()
endfunction()
