# Every header compiles alone, with all warnings: one entry of ctest for each and compiler, label `headers`. The g++ tree
# asks clang++ as well, which is spared reading the standard library each time: it is the same one, so what a header
# forgets of it g++ tells.
file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR}/include CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp)
set(alone -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

function(add_header_tests compiler suffix)  # further options of the compiler
  foreach(header ${headers})
    string(REGEX REPLACE "^ergo/|\\.hpp$" "" name ${header})
    string(REPLACE "/" "_" name ${name})
    set(unit ${PROJECT_BINARY_DIR}/headers/${name}.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "#include <${header}>\n")
    set(build "")
    if(header MATCHES "^ergo/cuda/")  # for these builds alone
      set(build -DERGO_EMULATED -Wno-unknown-pragmas -I ${PROJECT_SOURCE_DIR}/tests/simt/include)
    endif()
    add_test(NAME header_${name}${suffix}
             COMMAND ${compiler} ${build} ${alone} -fsyntax-only ${ARGN} -I ${PROJECT_SOURCE_DIR}/include ${unit})
    set_tests_properties(header_${name}${suffix} PROPERTIES LABELS headers TIMEOUT 120)
    if(suffix)
      set_tests_properties(header_${name}${suffix} PROPERTIES FIXTURES_REQUIRED standard${suffix})
    endif()
  endforeach()
endfunction()

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_header_tests(${CMAKE_CXX_COMPILER} "" -ferror-limit=3)
else()
  add_header_tests(${CMAKE_CXX_COMPILER} "" -fmax-errors=3)
  find_program(ERGO_CLANGXX clang++)
  mark_as_advanced(ERGO_CLANGXX)
  if(ERGO_CLANGXX)
    set(includes "")
    foreach(header ${headers})
      file(STRINGS ${PROJECT_SOURCE_DIR}/include/${header} lines REGEX "^#include <[a-z_]+>$")
      list(APPEND includes ${lines})
    endforeach()
    list(REMOVE_DUPLICATES includes)
    list(JOIN includes "\n" includes)
    set(standard ${PROJECT_BINARY_DIR}/headers/standard.hpp)
    file(CONFIGURE OUTPUT ${standard} CONTENT "${includes}\n")
    add_test(NAME header_standard_clang
             COMMAND ${ERGO_CLANGXX} ${alone} -x c++-header ${standard} -o ${standard}.gch)
    set_tests_properties(header_standard_clang PROPERTIES LABELS headers TIMEOUT 120 FIXTURES_SETUP standard_clang)
    add_header_tests(${ERGO_CLANGXX} _clang -ferror-limit=3 -include ${standard})
  else()
    message(WARNING "clang++ is not installed: the headers are compiled by g++ alone")
  endif()
endif()
