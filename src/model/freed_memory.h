#pragma once

namespace suture::model {

/// For a program's main, before a model runs: memory that is freed stays with the process. Tensors
/// of activations come and go with every layer, and what the C library gives back to the system
/// each time is cleared anew each time. Leaving each layer out of a 0.5 B-shaped model took 71 s
/// without it and 64 to 65 s with it (docs/performance.md).
void keep_freed_memory();

}  // namespace suture::model
