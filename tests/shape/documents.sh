#!/usr/bin/env bash
# documents.sh COMPILER INCLUDE DOCUMENT FOLDER: compiles and runs each ```cpp block of DOCUMENT with a main function.
# A block's text may ask for zlib; it is linked where the compiler finds it.
set -euo pipefail
compiler=$1 include=$2 document=$3 folder=$4/$(basename "$3" .md)

rm -rf "$folder"
mkdir -p "$folder"
awk -v folder="$folder" '
  /^```cpp/ { inside = 1; text = ""; first = NR + 1; next }
  /^```/ && inside { inside = 0
    if (text ~ /int main\(/) printf "#line %d \"%s\"\n%s", first, FILENAME, text > (folder "/line_" first ".cpp") }
  inside { text = text $0 "\n" }' "$document"

libraries=(-pthread)
if echo 'int main() {}' | "$compiler" -x c++ - -lz -o "$folder/probe" 2>/dev/null; then libraries+=(-lz); fi
rm -f "$folder/probe"
cd "$folder"
count=0
for source in *.cpp; do
  [[ -e $source ]] || break
  count=$((count + 1))
  "$compiler" -std=c++20 -O1 -Wall -Wextra -I "$include" "$source" -o "${source%.cpp}" "${libraries[@]}"
  echo "== $(basename "$document"), $source"
  timeout 120 "./${source%.cpp}"
done
echo "$count programs of $(basename "$document") compiled and ran"
