#pragma once

#include <vector>

#include "suture/run_options.h"

#include "core/cuda_device.h"
#include "surgery/measure.h"

namespace suture {

/// Measures tensors that `measure` has laid out, on the one device where every operand and
/// every base lies, in a few launches; the results are the bytes that the CPU gives. False, and
/// nothing is touched, when they do not all lie on one device or it has no kernels. Throws
/// DeviceError, Interrupted.
bool measure_resident(const std::vector<MeasuredVector>& vectors,
                      std::vector<TensorMeasures>& tensors, const RunOptions& options,
                      const ResidentMachine& machine = {});

}  // namespace suture
