#!/usr/bin/env bash
# run.sh CASE COMPILER CHECKOUT FOLDER: builds a consumer of ergo in FOLDER as its author would, and runs it.
set -euo pipefail
case=$1 compiler=$2 checkout=$3 folder=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

die() {
  printf '%s\n' "$*" >&2
  exit 1
}
# Compiles in silence: a warning under the default flags is a failure too.
quietly() {
  local output
  output=$("$@" 2>&1) || die "$output"
  [[ -z $output ]] || die "warnings from: $*"$'\n'"$output"
}
compile() { quietly "$compiler" -std=c++20 -I "$checkout/include" "$@"; }
# Configures and builds the project of this case.
cmake_project() {
  cmake -S "$here/$case" -B build -G Ninja -DCMAKE_CXX_COMPILER="$compiler" "$@" >configure.log 2>&1 ||
    die "$(cat configure.log)"
  cmake --build build >build.log 2>&1 || die "$(cat build.log)"
}

case $case in
  plain_O0 | plain_O3)
    compile "-${case#plain_}" "$here/program.cpp" -o program -pthread
    ./program
    ;;
  two_units)
    compile -c "$here/two_units/first.cpp" "$here/two_units/second.cpp"
    quietly "$compiler" first.o second.o -o program -pthread
    ./program
    ;;
  mixed_flags)
    # One unit may use AVX2 and FMA. The linker keeps the copy of an inline function that it meets first, so both orders
    # of linking must give the same bits, in both units; where it keeps a copy with those instructions the program may
    # only run on a processor that has them.
    if ! grep -qw avx2 /proc/cpuinfo || ! grep -qw fma /proc/cpuinfo; then
      echo "SKIPPED mixed flags: this processor has no AVX2 and FMA"
      exit 77
    fi
    for level in -O0 -O2; do
      said=
      compile "$level" -c "$here/mixed_flags/main.cpp" "$here/mixed_flags/plain.cpp"
      compile "$level" -mavx2 -mfma -c "$here/mixed_flags/wide.cpp"
      for order in "plain.o wide.o" "wide.o plain.o"; do
        # shellcheck disable=SC2086
        quietly "$compiler" main.o $order -o program -pthread
        output=$(./program) || die "$output"
        echo "$level, $order: $output"
        [[ $output == "${said:=$output}" ]] || die "not the bits of before: $said"
      done
    done
    ;;
  add_subdirectory)
    cmake_project -DERGO_CHECKOUT="$checkout"
    ./build/program
    ;;
  find_package)
    cmake -S "$checkout" -B ergo -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DERGO_TESTS=OFF -DERGO_EXAMPLES=OFF \
      >install.log 2>&1 && cmake --install ergo --prefix "$folder/prefix" >>install.log 2>&1 || die "$(cat install.log)"
    [[ -z $(find prefix -type l) ]] || die "links in the install tree: $(find prefix -type l)"
    cmake_project -DCMAKE_PREFIX_PATH="$folder/prefix" -DCMAKE_CXX_FLAGS=-DERGO_BASELINE_ISA  # a third of the loops
    ./build/program
    ./build/plain
    quietly "$compiler" -std=c++20 -I prefix/include "$here/program.cpp" -o program -pthread
    ./program
    ;;
  cuda_modes)
    # The emulated headers belong to an emulated build alone; a CUDA build without a compiler says so.
    case=add_subdirectory cmake_project -DERGO_CHECKOUT="$checkout" -DERGO_CUDA=EMULATED
    ./build/program
    includes=$(grep -c tests/simt/include build/build.ninja) || die "EMULATED without tests/simt/include"
    echo "EMULATED: tests/simt/include on $includes lines"
    cmake -S "$checkout" -B off -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DERGO_TESTS=OFF >off.log 2>&1 ||
      die "$(cat off.log)"
    if grep -q tests/simt off/build.ninja; then die "OFF names tests/simt"; fi
    for mode in ON SOMETIMES; do
      if output=$(PATH=/usr/bin:/bin CUDACXX='' cmake -S "$checkout" -B cuda -G Ninja -DERGO_CUDA=$mode \
        -DCMAKE_CXX_COMPILER="$compiler" -DERGO_TESTS=OFF 2>&1); then
        [[ $mode == ON ]] || die "ERGO_CUDA=$mode configures"
        continue  # a CUDA compiler where the system keeps its programs
      fi
      [[ $(tr -s ' \n' ' ' <<<"$output") =~ (there is no CUDA compiler|it is OFF, ON or EMULATED) ]] || die "$output"
      echo "${BASH_REMATCH[1]}"
    done
    ;;
  *) die "there is no case $case" ;;
esac
