// Saying aloud that something cannot be tested here (a data set or an instruction set that the machine lacks).
//
// A program in which every test case was skipped exits with 77, which ctest counts as skipped; one that checked
// anything passes or fails by that, and tests/run still lists its SKIPPED lines.
#pragma once

#include <string>

// Prints `SKIPPED <what>: <why>` on a line of its own. The caller returns from its test case.
void skip(const std::string& what, const std::string& why);

// The folder of data sets (ERGO_TEST_DATA) with `name` in it, as "<folder>/<name>"; empty, after a call of skip(), if
// this machine has none.
std::string test_data_or_skip(const std::string& name);
