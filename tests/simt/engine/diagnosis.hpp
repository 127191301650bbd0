// Diagnoses: what was wrong, in which kernel, block and thread, and what was expected.
#pragma once

#include <string>

namespace simt {

// "ergo::cuda::softmax_kernel<128, float>" by dladdr, which needs an exported (not static, not unnamed) function and a
// program linked with -rdynamic.
std::string kernel_name(const void* kernel);
// The same with the parameters' types, as the demangler writes it.
std::string kernel_signature(const void* kernel);

std::string demangled(const char* symbol);  // the symbol itself where it is not mangled
// "f<int>" of "void f<int>(float*)".
std::string without_parameters(std::string signature);

// Keeps the text for simt::take_diagnoses and prints it. Callable from any thread.
void diagnose(const std::string& text);

std::string tuple(unsigned x, unsigned y, unsigned z);  // "(1, 2, 3)"

}  // namespace simt
