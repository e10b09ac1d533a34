// Tells what a model on disk holds: suture::format alone.
//
// usage: inspect MODEL

#include <cstdio>
#include <suture/checkpoint.h>
#include <suture/dtype.h>
#include <suture/error.h>
#include <suture/version.h>

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  const auto model = suture::Checkpoint::open(argv[1]);
  std::printf("suture %s: %zu tensors, %llu bytes\n", suture::kVersion, model.tensors().size(),
              static_cast<unsigned long long>(model.total_bytes()));
  return 0;
} catch (const suture::Error& error) {
  std::fprintf(stderr, "inspect: %s\n", error.what());
  return 2;
}
