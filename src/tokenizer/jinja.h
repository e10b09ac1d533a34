#pragma once

#include <optional>
#include <string>
#include <vector>

#include "suture/chat_template.h"

#include "tokenizer/jinja_syntax.h"

namespace suture::jinja {

/// What a template sees beside the messages; an absent token is undefined.
struct Surroundings {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  bool add_generation_prompt = false;
};

/// The part of Jinja that chat templates for plain conversations need: text, `for` over messages,
/// `if`, `set`, texts and integers with their operators, `trim` and `strip`, `length`, tests for
/// what is defined, `raise_exception`. Gives the text that Jinja gives with transformers' settings,
/// without tools, or throws Refusal: for everything else, for what Jinja has as an error, and for
/// more than a fixed number of steps.
std::string render(const Block& program, const std::vector<ChatMessage>& messages,
                   const Surroundings& surroundings);

/// True when the template reads or tests the variable `name`.
bool reads(const Block& program, const std::string& name);

}  // namespace suture::jinja
