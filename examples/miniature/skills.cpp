#include "skills.h"

#include <algorithm>

namespace miniature {
namespace {

constexpr int kTerms = 5;     // of sums and differences
constexpr int kLetters = 10;  // a to j
constexpr int kLength = 6;    // of what is reversed, shifted or searched

std::string random_text(Random& random, char first) {
  std::string text;
  for (int i = 0; i < kLength; ++i) text += static_cast<char>(first + random.below(kLetters));
  return text;
}

std::vector<int> random_digits(Random& random) {
  std::vector<int> digits;
  for (int i = 0; i < kTerms; ++i) digits.push_back(random.below(10));
  return digits;
}

}  // namespace

int Calculation::next(int running, int digit) const {
  return (running + (is_difference ? 10 - digit : digit)) % 10;
}

std::string Calculation::prompt() const {
  std::string text;
  for (const int digit : digits) {
    if (!text.empty()) text += is_difference ? '-' : '+';
    text += std::to_string(digit);
  }
  return text + "=";
}

std::string Calculation::result() const {
  int running = digits[0];
  for (std::size_t i = 1; i < digits.size(); ++i) running = next(running, digits[i]);
  return std::to_string(running);
}

std::string Calculation::direct() const { return "#" + result(); }

std::string Calculation::worked(Random& random, double slip) const {
  int running = digits[0];
  std::string text = std::to_string(running);
  for (std::size_t i = 1; i < digits.size(); ++i) {
    running = next(running, digits[i]);
    if (random.chance(slip)) running = random.below(10);
    text += "," + std::to_string(running);
  }
  return text + "#" + std::to_string(running);
}

Calculation random_sum(Random& random) { return {random_digits(random), false}; }

Calculation random_difference(Random& random) { return {random_digits(random), true}; }

Problem reversal(Random& random) {
  const std::string letters = random_text(random, 'a');
  return {"Reverse " + letters + "=", "#" + std::string(letters.rbegin(), letters.rend())};
}

Problem largest(Random& random) {
  const std::string digits = random_text(random, '0');
  return {"Largest " + digits + "=",
          std::string("#") + *std::max_element(digits.begin(), digits.end())};
}

Problem shift(Random& random) {
  const std::string letters = random_text(random, 'a');
  std::string answer = "#";
  for (const char letter : letters)
    answer += static_cast<char>('a' + (letter - 'a' + 1) % kLetters);
  return {"Shift " + letters + "=", answer};
}

std::string unshifted(const Problem& shift) {
  const std::size_t space = shift.prompt.find(' ');
  return "#" + shift.prompt.substr(space + 1, kLength);
}

}  // namespace miniature
