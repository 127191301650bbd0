#!/usr/bin/env bash
# check.sh COMPILER INCLUDE FILE [FOLDER]      checks that a mistake is caught, and caught well
# check.sh --headers COMPILER INCLUDE FOLDER   precompiles into FOLDER what every FILE includes
# check.sh --self-test COMPILER                checks this script with made-up files
#
# FILE is a program with a mistake. It holds
#   // expect: TEXT      a part of the diagnostic (may be repeated: each must appear)
#   ... // wrong         at the end of each line with the mistake
#   #ifdef RIGHT         around the right spelling
# With -DRIGHT it must compile in silence. Without, it must fail, print each TEXT, take at most 30 lines, and name a
# line marked `// wrong` within the first ten: that is what its author sees first.
set -euo pipefail

fail() {
  printf '%s: %s\n' "$1" "$2"
  [[ -z ${3-} ]] || printf '%s\n' "$3"
  return 1
}

flags=(-std=c++20 -Wall -Wextra)

# Both compilers find common.hpp.gch beside common.hpp, which is empty.
headers() {
  local compiler=$1 include=$2 folder=$3
  mkdir -p "$folder"
  : >"$folder/common.hpp"
  rm -f "$folder/common.hpp.gch"
  "$compiler" "${flags[@]}" -I "$include" -x c++-header "$include/ergo/core/tensor.hpp" -o "$folder/common.hpp.gch"
}

check() {
  local compiler=$1 include=$2 file=$3 common=${4-} name output text line lines
  name=$(basename "$file")
  local command=("$compiler" "${flags[@]}" -fsyntax-only -I "$include" ${common:+-include "$common/common.hpp"} "$file")

  mapfile -t expected < <(sed -n 's|^// expect: *||p' "$file")
  mapfile -t wrong < <(grep -nE '// wrong$' "$file" | cut -d: -f1)
  ((${#expected[@]})) || { fail "$name" "has no line '// expect: TEXT'"; return; }
  ((${#wrong[@]})) || { fail "$name" "has no line that ends in '// wrong'"; return; }

  output=$("${command[@]}" -DRIGHT 2>&1) || { fail "$name" "the right spelling does not compile" "$output"; return; }
  [[ -z $output ]] || { fail "$name" "the right spelling compiles with warnings" "$output"; return; }

  if output=$("${command[@]}" 2>&1); then
    fail "$name" "the wrong spelling compiles" "$output"
    return
  fi
  for text in "${expected[@]}"; do
    [[ $output == *"$text"* ]] || { fail "$name" "the diagnostic does not say '$text'" "$output"; return; }
  done
  lines=$(wc -l <<<"$output")
  ((lines <= 30)) || { fail "$name" "the diagnostic has $lines lines, at most 30 are allowed" "$output"; return; }
  for line in "${wrong[@]}"; do
    if head -n 10 <<<"$output" | grep -qF "$file:$line:"; then
      printf '%s: caught in %d lines\n' "$name" "$lines"
      return
    fi
  done
  fail "$name" "the first ten lines do not name line ${wrong[*]}" "$output"
}

# Each made-up file has one flaw, which check must name.
self_test() {
  local compiler=$1 folder flaw output
  folder=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$folder'" EXIT
  try() {  # try FLAW: the file on standard input must be refused for FLAW, or be accepted if FLAW is "caught"
    flaw=$1
    cat >"$folder/made_up.cpp"
    output=$(check "$compiler" "$folder" "$folder/made_up.cpp") || true
    [[ $(head -n 1 <<<"$output") == *"$flaw"* ]] || { say_wrong "$flaw" "$output"; exit 1; }
  }
  say_wrong() { printf 'expected "%s" from check.sh, which said:\n%s\n' "$1" "$2"; }

  try "caught in" <<'END'
// expect: number
template <class T> void f(T) { static_assert(sizeof(T) > 1, "a number is needed"); }
int main() {
#ifdef RIGHT
  f(1);
#else
  f('a');  // wrong
#endif
}
END
  try "has no line '// expect" <<<'int main() { return x; }  // wrong'
  try "has no line that ends" <<<'// expect: x'
  try "the right spelling does not compile" <<<$'// expect: x\nint main() { return x; }  // wrong'
  try "compiles with warnings" <<<$'// expect: x\nint main() { int x; }  // wrong'
  try "the wrong spelling compiles" <<<$'// expect: x\nint main() {}  // wrong'
  try "does not say 'banana'" <<<$'// expect: banana\n#ifndef RIGHT\nint x = "";  // wrong\n#endif\nint main() {}'
  {
    printf "// expect: int\n#ifndef RIGHT\n"
    for i in {1..20}; do printf 'int x%d = "";  // wrong\n' "$i"; done
    printf '#endif\nint main() {}\n'
  } >"$folder/long"
  try "at most 30 are allowed" <"$folder/long"
  try "do not name line" <<<$'// expect: int\nint a = 1;  // wrong\n#ifndef RIGHT\nint x = "";\n#endif\nint main() {}'
  printf 'check.sh refuses every made-up flaw\n'
}

case ${1-} in
  --self-test) self_test "$2" ;;
  --headers) headers "${@:2}" ;;
  *) check "$@" ;;
esac
