# ergo::compiled, the archive of what ergo/compiled.hpp lists, built where a program first links it, with that project's
# own flags; the program's targets precompile ergo's headers, too (DISABLE_PRECOMPILE_HEADERS is CMake's way to refuse).
# The same file serves a build tree (add_subdirectory, FetchContent) and an install tree (find_package).
include_guard(GLOBAL)

set(ergo_compiled_folder ${CMAKE_CURRENT_LIST_DIR}/src)  # installed
if(NOT IS_DIRECTORY ${ergo_compiled_folder})
  get_filename_component(ergo_compiled_folder ${CMAKE_CURRENT_LIST_DIR}/../src ABSOLUTE)
endif()
file(GLOB ergo_compiled_sources CONFIGURE_DEPENDS ${ergo_compiled_folder}/*.cpp)
if(ERGO_CUDA STREQUAL "ON")  # as the programs: objects of a CPU build and of a CUDA build do not link together
  set_source_files_properties(${ergo_compiled_sources} PROPERTIES LANGUAGE CUDA)
endif()
add_library(ergo_compiled STATIC EXCLUDE_FROM_ALL ${ergo_compiled_sources})
add_library(ergo::compiled ALIAS ergo_compiled)
target_link_libraries(ergo_compiled PUBLIC ergo::data)
target_compile_definitions(ergo_compiled INTERFACE ERGO_COMPILED)
target_precompile_headers(ergo_compiled INTERFACE <ergo/ergo.hpp>)
