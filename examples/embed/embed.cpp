// A program of its own that uses Suture as a library: it takes the difference of two models, looks
// at it layer by layer, gives a part of it to a third, and does the same on weights in memory.
//
// usage: embed TUNED BASE TARGET OUT

#include <cstdio>
#include <exception>
#include <suture/suture.h>

namespace {

void show(const suture::TaskVector& vector) {
  const suture::LayerMeasure norms = vector.norms();
  std::printf("%s: norm %.6g\n", vector.formula().c_str(), norms.total);
  for (std::size_t layer = 0; layer < norms.layers.size(); ++layer) {
    std::printf("  layer %zu: %.6g\n", layer, norms.layers[layer]);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "usage: embed TUNED BASE TARGET OUT\n");
    return 2;
  }
  const auto tuned = suture::Checkpoint::open(argv[1]);  // headers only
  const auto base = suture::Checkpoint::open(argv[2]);
  const suture::TaskVector skill = tuned - base;  // nothing has been read yet
  show(skill);

  // On disk, in one streaming pass.
  const auto late = skill.only("layer=1- & !block=embedding");
  suture::inject(suture::Checkpoint::open(argv[3]), 0.8 * late, argv[4]);

  // In memory, in place: the same bytes.
  suture::StateDict weights = suture::load(argv[3]);
  late.apply_to(weights, 0.8);
  const suture::StateDict written = suture::load(argv[4]);
  for (const auto& [name, tensor] : written) {
    if (!tensor.equal(weights.at(name))) {
      std::fprintf(stderr, "%s differs\n", name.c_str());
      return 1;
    }
  }
  std::printf("%zu tensors on disk equal those in memory\n", written.size());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "embed: %s\n", error.what());
  return 2;
}
