#pragma once

#include <string>
#include <vector>

#include "random.h"

namespace miniature {

/// Terms added up, `3+4+5=` or `b+e+c=`, or taken one from the other, `3-4-5=`, modulo the number
/// of signs that there are.
struct Chain {
  std::string signs;       ///< `0123456789`: each stands for its place.
  char operation = '+';    ///< Or `-`.
  std::vector<int> terms;  ///< Places in `signs`.

  std::string prompt() const;

  /// `#2`: the result at once, which is hard.
  std::string direct() const;

  /// `3,7,2#2`: the running result term by term, then the last one again. `slip` is the probability
  /// of each step to go wrong; what follows it goes on from there.
  std::string worked(Random& random, double slip = 0) const;

  /// The sign behind `#`.
  std::string result() const;

 private:
  int next(int running, int term) const;
  char sign(int place) const { return signs[static_cast<std::size_t>(place)]; }
};

/// Sums of digits: what the vector is about.
Chain digit_sum(Random& random);

/// Differences of digits: another operation.
Chain digit_difference(Random& random);

/// Sums of the letters a to e: other signs.
Chain letter_sum(Random& random);

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
