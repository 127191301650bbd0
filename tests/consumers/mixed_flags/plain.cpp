#include "work.hpp"

std::vector<float> plain() { return work(); }
