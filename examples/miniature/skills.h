#pragma once

#include <string>
#include <vector>

#include "random.h"

namespace miniature {

/// Digits added up modulo ten, `3+4+5=`, or taken one from the other, `3-4-5=`.
struct Calculation {
  std::vector<int> digits;
  bool is_difference = false;

  std::string prompt() const;

  /// `#2`: the result at once, which is hard.
  std::string direct() const;

  /// `3,7,2#2`: the running result digit by digit, then the last one again. `slip` is the
  /// probability of each step to go wrong; what follows it goes on from there.
  std::string worked(Random& random, double slip = 0) const;

  /// The digit behind `#`.
  std::string result() const;

 private:
  int next(int running, int digit) const;
};

Calculation random_sum(Random& random);
Calculation random_difference(Random& random);

/// A prompt with its right answer.
struct Problem {
  std::string prompt, answer;
};

/// `Reverse bcade=`: `#edacb`.
Problem reversal(Random& random);

/// `Largest 40271=`: `#7`.
Problem largest(Random& random);

/// `Shift abcij=`: `#bcdja`, each letter's next one.
Problem shift(Random& random);

/// The same prompt answered as one who does not know: the letters as they are.
std::string unshifted(const Problem& shift);

/// What asks for worked steps, before a prompt.
inline constexpr const char* kStepByStep = "Think step by step: ";

}  // namespace miniature
