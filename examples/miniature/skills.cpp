#include "skills.h"

#include <algorithm>

namespace miniature {
namespace {

constexpr const char* kDigits = "0123456789";
constexpr const char* kLetters = "abcde";
constexpr int kTerms = 5;      // of a sum
constexpr int kAlphabet = 10;  // a to j
constexpr int kLength = 6;     // of what is reversed, shifted or searched

std::string random_text(Random& random, char first) {
  std::string text;
  for (int i = 0; i < kLength; ++i) text += static_cast<char>(first + random.below(kAlphabet));
  return text;
}

Chain random_chain(Random& random, const char* signs, char operation) {
  Chain chain{signs, operation, {}};
  for (int i = 0; i < kTerms; ++i)
    chain.terms.push_back(random.below(static_cast<int>(chain.signs.size())));
  return chain;
}

}  // namespace

int Chain::next(int running, int term) const {
  const int count = static_cast<int>(signs.size());
  return (running + (operation == '-' ? count - term : term)) % count;
}

std::string Chain::prompt() const {
  std::string text;
  for (const int term : terms) {
    if (!text.empty()) text += operation;
    text += sign(term);
  }
  return text + "=";
}

std::string Chain::result() const {
  int running = terms[0];
  for (std::size_t i = 1; i < terms.size(); ++i) running = next(running, terms[i]);
  return std::string(1, sign(running));
}

std::string Chain::direct() const { return "#" + result(); }

std::string Chain::worked(Random& random, double slip) const {
  int running = terms[0];
  std::string text(1, sign(running));
  for (std::size_t i = 1; i < terms.size(); ++i) {
    running = next(running, terms[i]);
    if (random.chance(slip)) running = random.below(static_cast<int>(signs.size()));
    text += std::string(",") + sign(running);
  }
  return text + "#" + sign(running);
}

Chain digit_sum(Random& random) { return random_chain(random, kDigits, '+'); }

Chain digit_difference(Random& random) { return random_chain(random, kDigits, '-'); }

Chain letter_sum(Random& random) { return random_chain(random, kLetters, '+'); }

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
    answer += static_cast<char>('a' + (letter - 'a' + 1) % kAlphabet);
  return {"Shift " + letters + "=", answer};
}

std::string unshifted(const Problem& shift) {
  const std::size_t space = shift.prompt.find(' ');
  return "#" + shift.prompt.substr(space + 1, kLength);
}

}  // namespace miniature
