#pragma once

#include <string>

#include "suture/lora.h"

namespace suture::report {

/// What an adapter holds and leaves over, layer by layer, for people to read in a terminal. Ends in
/// a newline. Tensor names are made printable.
std::string to_text(const LoraReport& report);

/// As JSON text with the schema `suture.lora/1`, ending in a newline: also tensor by tensor.
/// docs/command-line.md lists the fields.
std::string to_json(const LoraReport& report);

}  // namespace suture::report
