#!/usr/bin/env bash
# archive_test.sh OBJECT...: what the examples use of ergo's operations comes from the archive ergo::compiled. An object
# that defines the table of an operation shows one that ergo/compiled.hpp lacks.
set -euo pipefail
tables='(Pointwise|OpTable)<.*>::(op|functions)$'
failed=0
for object in "$@"; do
  symbols=$(nm -C "$object")
  used=$(grep -cE " U .*$tables" <<<"$symbols" || true)
  echo "${object##*/}: $used tables of the archive"
  if own=$(grep -E "^[0-9a-f]+ . .*$tables" <<<"$symbols"); then
    printf 'compiled here:\n%s\n' "$own"
    failed=1
  fi
  if ((used < 5)); then
    echo "too few: it was not compiled against the archive"
    failed=1
  fi
done
exit $failed
