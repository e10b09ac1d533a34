#include "kernels/cuda/linear_form.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/batch.h"
#include "support/cuda_machine.h"

// The kernels of the linear form against those of the CPU, bit for bit.
namespace suture::kernels {
namespace {

using test::decode;
using test::kComputableDtypes;
using test::stored_bits;
using test::strewn_bytes;

// A term by its parts: dtypes, scale, and how far each operand is from a multiple of 16 bytes.
struct TermSpec {
  Dtype minuend;
  std::optional<Dtype> subtrahend;
  double scale = 0.8;
  std::size_t minuend_offset = 0, subtrahend_offset = 0;
};

struct UpdateSpec {
  Dtype target;
  std::size_t count;
  std::vector<TermSpec> terms;
  std::size_t target_offset = 0;  // in elements
};

class CudaLinearForm : public test::OnMachine {
 protected:
  // One operand twice: for the CPU, and in the machine's memory.
  struct Operand {
    Dtype dtype;
    std::string host;
    Memory memory;
  };

  // A whole update, its operands, and what the CPU makes of it.
  struct Case {
    UpdateSpec spec;
    Operand target;
    std::vector<Operand> operands;
    std::vector<TermTile> terms;  // in the machine's memory
    std::string expected;
  };

  Operand make_operand(Dtype dtype, std::size_t count, std::size_t offset,
                       std::uint64_t seed) const {
    const std::string bytes = strewn_bytes(dtype, count, seed);
    return {dtype, bytes, place(bytes, offset * static_cast<std::size_t>(bytes_of(dtype)))};
  }

  Case make_case(const UpdateSpec& spec) {
    Case made{spec, make_operand(spec.target, spec.count, spec.target_offset, ++seed_), {}, {}, {}};
    std::vector<TermTile> host_terms;
    made.operands.reserve(2 * spec.terms.size());
    for (const TermSpec& term : spec.terms) {
      const auto add = [&](Dtype dtype, std::size_t offset, StoredTile& host, StoredTile& placed) {
        made.operands.push_back(make_operand(dtype, spec.count, offset, ++seed_));
        host = {made.operands.back().host.data(), dtype};
        placed = {made.operands.back().memory.data(), dtype};
      };
      TermTile host, placed;
      host.scale = placed.scale = term.scale;
      add(term.minuend, term.minuend_offset, host.minuend, placed.minuend);
      if (term.subtrahend)
        add(*term.subtrahend, term.subtrahend_offset, host.subtrahend, placed.subtrahend);
      host_terms.push_back(host);
      made.terms.push_back(placed);
    }
    made.expected.resize(made.target.host.size());
    add_to_target({made.target.host.data(), spec.target}, host_terms, spec.target,
                  made.expected.data(), spec.count);
    return made;
  }

  static TensorUpdate update_of(const Case& made) {
    return {made.target.memory.data(), made.spec.target, made.spec.count, made.terms};
  }

  static void expect_equal(const Case& made) {
    const std::string found = made.target.memory.bytes();
    EXPECT_TRUE(made.target.memory.is_intact_around());
    for (std::size_t i = 0; i < made.spec.count; ++i) {
      const auto bits = stored_bits(made.spec.target, found.data(), i);
      const auto expected = stored_bits(made.spec.target, made.expected.data(), i);
      if (bits == expected) continue;
      const auto before = stored_bits(made.spec.target, made.target.host.data(), i);
      // A NaN that was made may be any; one that was there is kept.
      const auto is_nan = [&](std::uint64_t b) { return std::isnan(decode(made.spec.target, b)); };
      ASSERT_TRUE(is_nan(bits) && is_nan(expected) && !is_nan(before))
          << "element " << i << " of " << made.spec.count << " in " << name_of(made.spec.target)
          << ": " << std::hex << bits << ", not " << expected;
    }
  }

  void expect_like_the_cpu(const std::vector<UpdateSpec>& specs) {
    std::vector<Case> cases;
    cases.reserve(specs.size());
    for (const UpdateSpec& spec : specs) cases.push_back(make_case(spec));
    std::vector<TensorUpdate> updates;
    for (const Case& made : cases) updates.push_back(update_of(made));
    add_in_place(updates, stream(), backend());
    for (const Case& made : cases) expect_equal(made);
  }

 private:
  std::uint64_t seed_ = 0;
};

TEST_P(CudaLinearForm, EveryCombinationOfDtypesInOneCall) {
  std::vector<UpdateSpec> specs;
  for (const Dtype target : kComputableDtypes) {
    for (const Dtype minuend : kComputableDtypes) {
      specs.push_back({target, 1037, {{minuend, std::nullopt, -0.75}}});
      for (const Dtype subtrahend : kComputableDtypes)
        specs.push_back({target, 1037, {{minuend, subtrahend, 0.3}}});
    }
  }
  expect_like_the_cpu(specs);
}

TEST_P(CudaLinearForm, EveryLengthAroundVectorsAndTiles) {
  std::vector<UpdateSpec> specs;
  for (const Dtype dtype : kComputableDtypes) {
    for (const std::size_t count : {1, 7, 8, 9, 2047, 2048, 2049, 32767, 32768, 32769, 100'003})
      specs.push_back({dtype, count, {{dtype, dtype, 0.8}}});
  }
  expect_like_the_cpu(specs);
}

TEST_P(CudaLinearForm, AnyAlignmentOfAnyOperand) {
  std::vector<UpdateSpec> specs;
  for (const Dtype dtype : kComputableDtypes) {
    specs.push_back({dtype, 5000, {{dtype, dtype, 0.8}}, 1});
    specs.push_back({dtype, 5000, {{dtype, dtype, 0.8, 1, 0}}});
    specs.push_back({dtype, 5000, {{dtype, dtype, 0.8, 0, 3}}});
    specs.push_back({dtype, 5000, {{dtype, dtype, 0.8, 1, 1}}, 1});
    specs.push_back({dtype, 5000, {{dtype, std::nullopt, 0.8, 5}}, 2});
    specs.push_back({dtype, 5000, {{Dtype::kF16, Dtype::kF32, 0.8, 1, 2}}, 0});
  }
  expect_like_the_cpu(specs);
}

TEST_P(CudaLinearForm, SeveralTermsInTheOrderWritten) {
  std::vector<UpdateSpec> specs;
  for (const Dtype target : kComputableDtypes) {
    specs.push_back({target,
                     4001,
                     {{Dtype::kBF16, Dtype::kF32, 1},
                      {Dtype::kF32, std::nullopt, -1},
                      {Dtype::kF16, Dtype::kBF16, 1e-3},
                      {Dtype::kF16, std::nullopt, 1.0 / 3}}});
    specs.push_back(
        {target, 4001, {{Dtype::kBF16, Dtype::kF64, 0.1}, {Dtype::kF64, std::nullopt, 3}}});
    specs.push_back({target, 4001, {{target, target, 1}, {target, target, -0.5}}});
  }
  expect_like_the_cpu(specs);
}

TEST_P(CudaLinearForm, AScaleOfOne) {
  std::vector<UpdateSpec> specs;
  for (const Dtype dtype : kComputableDtypes) specs.push_back({dtype, 3000, {{dtype, dtype, 1}}});
  expect_like_the_cpu(specs);
}

TEST_P(CudaLinearForm, AZeroVectorGivesEveryBitPatternBack) {
  std::vector<std::uint64_t> patterns;
  for (std::uint64_t bits = 0; bits < 65536; ++bits) patterns.push_back(bits);
  for (const Dtype dtype : {Dtype::kBF16, Dtype::kF16}) {
    const std::string all = test::stored_bytes(dtype, patterns);
    for (const double zero : {0.0, -0.0}) {
      for (const Dtype zeros_dtype : {dtype, Dtype::kF64}) {
        const Memory target = place(all);
        const Memory zeros =
            place(test::stored_values(zeros_dtype, std::vector<double>(patterns.size(), zero)));
        const TermTile term{{zeros.data(), zeros_dtype}, {}, 0.5};
        const TensorUpdate update{target.data(), dtype, patterns.size(), {&term, 1}};
        add_in_place({&update, 1}, stream(), backend());
        EXPECT_EQ(target.bytes(), all) << name_of(dtype) << " " << zero;
      }
    }
  }
}

// (1 + 2^-12)^2 is 1 + 2^-11 + 2^-24, a tie that float rounds down; fused, the last part survives.
TEST_P(CudaLinearForm, DoesNotFuseMultiplyAndAdd) {
  const std::vector<double> start(100, -(1 + 0x1p-11)), values(100, 1 + 0x1p-12);
  const Memory target = place(test::stored_values(Dtype::kF32, start));
  const Memory value = place(test::stored_values(Dtype::kF32, values));
  const TermTile term{{value.data(), Dtype::kF32}, {}, 1 + 0x1p-12};
  const TensorUpdate update{target.data(), Dtype::kF32, 100, {&term, 1}};
  add_in_place({&update, 1}, stream(), backend());
  EXPECT_EQ(target.bytes(), std::string(400, '\0'));
}

TEST_P(CudaLinearForm, ATargetMayBeItsOwnOperand) {
  const std::string start = test::stored_values(Dtype::kBF16, std::vector<double>(4099, 1.5));
  const Memory target = place(start);
  const TermTile term{{target.data(), Dtype::kBF16}, {}, 1};
  const TensorUpdate update{target.data(), Dtype::kBF16, 4099, {&term, 1}};
  add_in_place({&update, 1}, stream(), backend());
  EXPECT_EQ(target.bytes(), test::stored_values(Dtype::kBF16, std::vector<double>(4099, 3)));
}

SUTURE_ON_EVERY_MACHINE(CudaLinearForm);

}  // namespace
}  // namespace suture::kernels
