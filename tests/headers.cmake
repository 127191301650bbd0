# Every header compiles alone, with all warnings: one entry of ctest for each, label `headers`. The g++ tree asks clang++
# as well, of all headers in one unit: the standard library is the same one, so what a header forgets g++ tells.
file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR}/include CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp)

# Compiles a unit of these lines, with the options behind them. What lies in ergo/cuda is for the builds with devices.
function(add_header_test name compiler lines)
  set(unit ${PROJECT_BINARY_DIR}/headers/${name}.cpp)
  file(CONFIGURE OUTPUT ${unit} CONTENT "${lines}\n")
  set(devices "")
  if(lines MATCHES "<ergo/cuda/")
    set(devices -DERGO_EMULATED -Wno-unknown-pragmas -I ${PROJECT_SOURCE_DIR}/tests/simt/include)
  endif()
  add_test(NAME header_${name}
           COMMAND ${compiler} -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fsyntax-only ${ARGN}
                   ${devices} -I ${PROJECT_SOURCE_DIR}/include ${unit})
  set_tests_properties(header_${name} PROPERTIES LABELS headers TIMEOUT 120)
endfunction()

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(limit -ferror-limit=3)
else()
  set(limit -fmax-errors=3)
  find_program(ERGO_CLANGXX clang++)
  mark_as_advanced(ERGO_CLANGXX)
  if(ERGO_CLANGXX)
    list(TRANSFORM headers REPLACE "(.+)" "#include <\\1>" OUTPUT_VARIABLE all)
    list(JOIN all "\n" all)
    add_header_test(all_by_clang ${ERGO_CLANGXX} "${all}" -ferror-limit=3)
  else()
    message(WARNING "clang++ is not installed: the headers are compiled by g++ alone")
  endif()
endif()
foreach(header ${headers})
  string(REGEX REPLACE "^ergo/|\\.hpp$" "" name ${header})
  string(REPLACE "/" "_" name ${name})
  add_header_test(${name} ${CMAKE_CXX_COMPILER} "#include <${header}>" ${limit})
endforeach()
