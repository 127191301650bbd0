#include "work.hpp"

std::vector<float> wide() { return work(); }
