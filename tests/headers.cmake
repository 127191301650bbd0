# Every header compiles alone, with all warnings: one entry of ctest each, label `headers`, with this tree's compiler.
file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR}/include CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp)
set(few_errors -fmax-errors=3)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(few_errors -ferror-limit=3)
endif()
foreach(header ${headers})
  string(REGEX REPLACE "^ergo/|\\.hpp$" "" name ${header})
  string(REPLACE "/" "_" name ${name})
  set(unit ${PROJECT_BINARY_DIR}/headers/${name}.cpp)
  file(CONFIGURE OUTPUT ${unit} CONTENT "#include <${header}>\n")
  set(build "")
  if(header MATCHES "^ergo/cuda/")  # for these builds alone
    set(build -DERGO_EMULATED -Wno-unknown-pragmas -I ${PROJECT_SOURCE_DIR}/tests/simt/include)
  endif()
  add_test(NAME header_${name}
           COMMAND ${CMAKE_CXX_COMPILER} ${build} -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
                   -fsyntax-only ${few_errors} -I ${PROJECT_SOURCE_DIR}/include ${unit})
  set_tests_properties(header_${name} PROPERTIES LABELS headers TIMEOUT 120)
endforeach()
