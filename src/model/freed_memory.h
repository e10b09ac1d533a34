#pragma once

namespace suture::model {

/// For a program's main, before a model runs: memory that is freed stays with the process. Tensors
/// of activations come and go with every layer, and what the C library gives back to the system
/// each time is cleared anew each time. A twentieth to a tenth of an evaluation's time.
void keep_freed_memory();

}  // namespace suture::model
