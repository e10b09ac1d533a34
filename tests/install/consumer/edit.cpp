// Adds TUNED - BASE to TARGET, on disk and in memory, and compares the two.
//
// usage: edit TUNED BASE TARGET OUT

#include <cstdio>
#include <suture/suture.h>

int main(int argc, char** argv) try {
  if (argc != 5) return 2;
  const suture::TaskVector skill =
      suture::Checkpoint::open(argv[1]) - suture::Checkpoint::open(argv[2]);
  suture::inject(suture::Checkpoint::open(argv[3]), skill, argv[4]);

  suture::StateDict weights = suture::load(argv[3]);
  skill.apply_to(weights);
  const suture::StateDict written = suture::load(argv[4]);
  for (const auto& [name, tensor] : written) {
    if (!tensor.equal(weights.at(name))) return 1;
  }
  std::printf("norm %.3f; %zu tensors on disk equal those in memory\n", skill.norm(),
              written.size());
  return 0;
} catch (const suture::Error& error) {
  std::fprintf(stderr, "edit: %s\n", error.what());
  return 2;
}
