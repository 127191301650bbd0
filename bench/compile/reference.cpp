// What an ordinary program includes, ergo or not: the unit of bench/compile, so that figures compare across machines.
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
