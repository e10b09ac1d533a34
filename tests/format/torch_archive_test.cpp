#include "format/torch_archive.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/torch_archive_builder.h"

namespace suture::format {
namespace {

using namespace test::pickled;
using test::central_header_at;
using test::little_endian;
using test::local_header_at;
using test::poke;
using test::torch_archive;
using test::torch_records;
using test::ZipBuilder;
using test::ZipRecord;

constexpr std::int64_t kHuge = INT64_MAX;

class TorchArchive : public testing::Test {
 protected:
  std::vector<TensorInfo> read(const std::string& bytes) {
    test::write_file(path_, bytes);
    return read_torch_archive(File::open(path_));
  }

  // The tensors of a state dict whose storage `0` holds the 16 bytes of four floats.
  std::vector<TensorInfo> read_value(const std::string& value) {
    return read(torch_archive(value, {{"0", kSixteenBytes}}));
  }

  // The one tensor `w`.
  TensorInfo read_tensor(const std::string& tensor) {
    const auto tensors = read_value(dict({{"w", tensor}}));
    EXPECT_EQ(tensors.size(), 1u);
    return tensors.at(0);
  }

  void expect_refused(const std::string& bytes, const std::vector<std::string>& parts) {
    try {
      read(bytes);
      ADD_FAILURE() << "accepted; expected: " << parts.front();
    } catch (const FormatError& error) {
      const std::string line = error.what();
      EXPECT_EQ(line.find(path_.string() + ": "), 0u) << line;
      for (const auto& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    }
  }

  void expect_value_refused(const std::string& value, const std::vector<std::string>& parts) {
    expect_refused(torch_archive(value, {{"0", kSixteenBytes}}), parts);
  }

  // A tensor `w` that must be refused by name and for the reason given.
  void expect_tensor_refused(const std::string& tensor, const std::string& reason) {
    expect_value_refused(dict({{"w", tensor}}), {"tensor 'w': ", reason});
  }

  void expect_view_refused(std::int64_t offset, const Integers& shape, const Integers& strides,
                           const std::string& reason) {
    expect_tensor_refused(tensor(typed_storage("FloatStorage", "0", 4), offset, shape, strides),
                          reason);
  }

  static inline const std::string kSixteenBytes = "0123456789abcdef";
  test::TempDir dir_;
  std::filesystem::path path_ = dir_ / "model.pt";
};

std::vector<std::string> names_of(const std::vector<TensorInfo>& tensors) {
  std::vector<std::string> names;
  for (const auto& tensor : tensors) names.push_back(tensor.name);
  return names;
}

using Names = std::vector<std::string>;

// ---- What is read -------------------------------------------------------------------------------

TEST_F(TorchArchive, ReadsPlainDict) {
  const std::string bytes = torch_archive(dict({{"w", four_floats()}}), {{"0", kSixteenBytes}});
  const auto tensors = read(bytes);
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, "w");
  EXPECT_EQ(tensors[0].dtype, Dtype::kF32);
  EXPECT_EQ(tensors[0].shape, (Integers{4}));
  EXPECT_EQ(tensors[0].elements, 4u);
  EXPECT_EQ(tensors[0].bytes, 16u);
  EXPECT_EQ(tensors[0].file, 0u);
  EXPECT_TRUE(tensors[0].strides.empty());
  EXPECT_EQ(bytes.substr(tensors[0].offset, 16), kSixteenBytes);
}

TEST_F(TorchArchive, ReadsOrderedDictWithMetadata) {
  const std::string metadata = dict({{"_metadata", ordered_dict({{"", dict({})}})}});
  const auto tensors = read_value(ordered_dict({{"a.weight", four_floats()}}) + metadata + "b");
  EXPECT_EQ(names_of(tensors), Names{"a.weight"});
}

TEST_F(TorchArchive, ReadsParameter) {
  EXPECT_EQ(read_tensor(parameter(four_floats())).elements, 4u);
  EXPECT_EQ(read_tensor(call(global("torch._utils", "_rebuild_parameter_with_state"),
                             {four_floats(), kTrue, empty_ordered_dict(), dict({})}))
                .elements,
            4u);
}

TEST_F(TorchArchive, ReadsDictUnderStateDictOrModelWithoutPrefix) {
  const std::string inner = ordered_dict({{"w", four_floats()}});
  const std::string optimizer = dict({{"exp_avg", four_floats()}});
  for (const std::string key : {"state_dict", "model"}) {
    const auto tensors = read_value(
        dict({{"epoch", integer(3)}, {key, inner}, {"optimizer", optimizer}, {"best", kNone}}));
    EXPECT_EQ(names_of(tensors), Names{"w"}) << key;
  }
}

TEST_F(TorchArchive, KeepsPrefixWhenTheRootHasTensorsItself) {
  const auto tensors =
      read_value(dict({{"model", dict({{"w", four_floats()}})}, {"head", four_floats()}}));
  EXPECT_EQ(names_of(tensors), (Names{"model.w", "head"}));
}

TEST_F(TorchArchive, JoinsNestedKeysWithDots) {
  const auto tensors =
      read_value(dict({{"a", dict({{"b", dict({{"c", four_floats()}})}, {"d", four_floats()}})},
                       {"e", four_floats()}}));
  EXPECT_EQ(names_of(tensors), (Names{"a.b.c", "a.d", "e"}));
}

TEST_F(TorchArchive, WritesWholeNumberKeysInDecimal) {
  const auto tensors = read_value("}" + integer(7) + dict({{"step", four_floats()}}) + "s");
  EXPECT_EQ(names_of(tensors), Names{"7.step"});
}

TEST_F(TorchArchive, IgnoresWhatIsNoTensor) {
  const auto tensors = read_value(dict({{"list", list({four_floats()})},
                                        {"tuple", tuple({four_floats()})},
                                        {"step", integer(1)},
                                        {"name", text("x")},
                                        {"size", call(global("torch", "Size"), {integers({4})})},
                                        {"dtype", global("torch", "float16")},
                                        {"w", four_floats()}}));
  EXPECT_EQ(names_of(tensors), Names{"w"});
}

TEST_F(TorchArchive, ReadsEmptyStateDict) { EXPECT_TRUE(read_value(ordered_dict({})).empty()); }

TEST_F(TorchArchive, ReadsEveryStorageClass) {
  const std::vector<std::pair<std::string, Dtype>> classes = {
      {"FloatStorage", Dtype::kF32},       {"HalfStorage", Dtype::kF16},
      {"BFloat16Storage", Dtype::kBF16},   {"DoubleStorage", Dtype::kF64},
      {"LongStorage", Dtype::kI64},        {"IntStorage", Dtype::kI32},
      {"ShortStorage", Dtype::kI16},       {"CharStorage", Dtype::kI8},
      {"ByteStorage", Dtype::kU8},         {"BoolStorage", Dtype::kBool},
      {"ComplexFloatStorage", Dtype::kC64}};
  for (const auto& [name, dtype] : classes) {
    const std::int64_t elements = 16 / bytes_of(dtype);
    const auto info = read_tensor(tensor(typed_storage(name, "0", elements), 0, {elements}, {1}));
    EXPECT_EQ(info.dtype, dtype) << name;
    EXPECT_EQ(info.bytes, 16u) << name;
  }
}

TEST_F(TorchArchive, ReadsDtypesWithoutStorageClass) {
  const std::vector<std::pair<std::string, Dtype>> dtypes = {
      {"float8_e4m3fn", Dtype::kF8E4M3},
      {"float8_e5m2", Dtype::kF8E5M2},
      {"float8_e4m3fnuz", Dtype::kF8E4M3FNUZ},
      {"float8_e5m2fnuz", Dtype::kF8E5M2FNUZ},
      {"float8_e8m0fnu", Dtype::kF8E8M0},
      {"uint16", Dtype::kU16},
      {"uint32", Dtype::kU32},
      {"uint64", Dtype::kU64}};
  for (const auto& [name, dtype] : dtypes) {
    const auto info =
        read_tensor(tensor_of_dtype(untyped_storage("0", 16), {16 / bytes_of(dtype)}, {1}, name));
    EXPECT_EQ(info.dtype, dtype) << name;
    EXPECT_EQ(info.bytes, 16u) << name;
  }
}

TEST_F(TorchArchive, ReadsViewsOfOneStorage) {
  const std::string floats = typed_storage("FloatStorage", "0", 4);
  const auto tensors = read_value(dict({{"all", tensor(floats, 0, {2, 2}, {2, 1})},
                                        {"transposed", tensor(floats, 0, {2, 2}, {1, 2})},
                                        {"row", tensor(floats, 2, {2}, {1})},
                                        {"column", tensor(floats, 1, {2}, {2})}}));
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_TRUE(tensors[0].strides.empty());
  EXPECT_EQ(tensors[1].strides, (Integers{1, 2}));
  EXPECT_EQ(tensors[1].offset, tensors[0].offset);
  EXPECT_TRUE(tensors[2].strides.empty());
  EXPECT_EQ(tensors[2].offset, tensors[0].offset + 8);
  EXPECT_EQ(tensors[3].strides, (Integers{2}));
  EXPECT_EQ(tensors[3].offset, tensors[0].offset + 4);
  EXPECT_EQ(tensors[3].bytes, 8u);
}

TEST_F(TorchArchive, ReadsScalarAndEmptyTensors) {
  const std::string floats = typed_storage("FloatStorage", "0", 4);
  const auto scalar = read_tensor(tensor(floats, 3, {}, {}));
  EXPECT_EQ(scalar.elements, 1u);
  EXPECT_EQ(scalar.bytes, 4u);
  const auto empty = read_tensor(tensor(floats, 4, {0, 3}, {3, 1}));
  EXPECT_EQ(empty.elements, 0u);
  EXPECT_EQ(empty.bytes, 0u);
  EXPECT_TRUE(empty.strides.empty());
}

TEST_F(TorchArchive, TakesAnyStrideOfASingleRowForDense) {
  const auto info =
      read_tensor(tensor(typed_storage("FloatStorage", "0", 4), 0, {1, 4}, {1000, 1}));
  EXPECT_TRUE(info.strides.empty());
}

TEST_F(TorchArchive, ReadsMoreThanTwoToThe31Elements) {
  const std::int64_t elements = (1ll << 31) + 8;
  const std::string number = "\x8a\x05" + little_endian(static_cast<std::uint64_t>(elements), 5);
  const std::string storage =
      tuple({text("storage"), global("torch", "ByteStorage"), text("0"), text("cpu"), number}) +
      "Q";
  const std::string pickle = document(dict({{"big", tensor(storage, 0, {elements}, {1})}}));
  ZipBuilder(torch_records(pickle, {{"0", "", static_cast<std::uint64_t>(elements)}})).write(path_);
  const auto tensors = read_torch_archive(File::open(path_));
  EXPECT_EQ(tensors.at(0).elements, static_cast<std::uint64_t>(elements));
}

TEST_F(TorchArchive, ReadsEveryProtocolFromTwoToFive) {
  for (int protocol = 2; protocol <= 5; ++protocol) {
    const std::string pickle = document(dict({{"w", four_floats()}}), protocol);
    EXPECT_EQ(read(ZipBuilder(torch_records(pickle, {{"0", kSixteenBytes}})).build()).size(), 1u);
  }
}

TEST_F(TorchArchive, ReadsArchiveWithoutByteOrder) {
  auto records = torch_records(document(dict({{"w", four_floats()}})), {{"0", kSixteenBytes}});
  records.erase(records.begin() + 2);
  EXPECT_EQ(read(ZipBuilder(records).build()).size(), 1u);
}

// ---- Code in the pickle -------------------------------------------------------------------------

TEST_F(TorchArchive, RefusesSystemCommandAndDoesNotRunIt) {
  const auto pwned = dir_ / "PWNED";
  for (const char* module : {"posix", "os", "nt"}) {
    expect_value_refused(
        dict({{"w", call(global(module, "system"), {text("touch " + pwned.string())})}}),
        {"tensor 'w'", std::string(module) + ".system", "nothing was executed"});
  }
  EXPECT_FALSE(std::filesystem::exists(pwned));
}

TEST_F(TorchArchive, RefusesUnknownGlobalWhereverItIs) {
  expect_value_refused(
      dict({{"w", four_floats()}, {"args", list({global("argparse", "Namespace")})}}),
      {"refers to argparse.Namespace"});
  expect_value_refused(dict({{"a", dict({{"b", global("evil", "thing")}})}}),
                       {"tensor 'a.b'", "evil.thing"});
  expect_value_refused(call(global("builtins", "eval"), {text("1")}), {"builtins.eval"});
}

TEST_F(TorchArchive, RefusesPickledModule) {
  expect_value_refused(global("torch.nn.modules.linear", "Linear") + ")\x81" + dict({}) + "b",
                       {"torch.nn.modules.linear.Linear", "torch.save(model.state_dict(), FILE)"});
}

// ---- Tensors of other kinds ---------------------------------------------------------------------

TEST_F(TorchArchive, RefusesSparseTensor) {
  expect_tensor_refused(
      call(global("torch._utils", "_rebuild_sparse_tensor"),
           {call(global("torch.serialization", "_get_layout"), {text("torch.sparse_coo")}),
            tuple({four_floats(), four_floats()})}),
      "_rebuild_sparse_tensor; expected a plain dense tensor");
}

TEST_F(TorchArchive, RefusesQuantisedTensor) {
  expect_tensor_refused(
      call(global("torch._utils", "_rebuild_qtensor"),
           {typed_storage("QUInt8Storage", "0", 16), integer(0), integers({16}), integers({1})}),
      "_rebuild_qtensor");
}

TEST_F(TorchArchive, RefusesTensorSubclass) {
  expect_tensor_refused(
      call(global("torch._tensor", "_rebuild_from_type_v2"),
           {global("torch._utils", "_rebuild_tensor_v2"), global("mine", "Sub"), tuple({}), kNone}),
      "_rebuild_from_type_v2");
}

TEST_F(TorchArchive, RefusesUnsupportedTensorInsideParameter) {
  expect_tensor_refused(
      parameter(call(global("torch._utils", "_rebuild_meta_tensor_no_storage"), {})),
      "_rebuild_meta_tensor_no_storage");
}

TEST_F(TorchArchive, RefusesConjugatedView) {
  const std::string storage = typed_storage("ComplexFloatStorage", "0", 2);
  const auto with_metadata = [&](const std::string& metadata) {
    return call(global("torch._utils", "_rebuild_tensor_v2"),
                {storage, integer(0), integers({2}), integers({1}), kFalse, empty_ordered_dict(),
                 metadata});
  };
  expect_tensor_refused(with_metadata(dict({{"conj", kTrue}})), "conjugated or negated");
  expect_tensor_refused(with_metadata(text("conj")), "metadata that is no dictionary");
  EXPECT_EQ(read_tensor(with_metadata(dict({{"conj", kFalse}}))).elements, 2u);
  EXPECT_EQ(read_tensor(with_metadata(kNone)).elements, 2u);
}

TEST_F(TorchArchive, RefusesElementTypesThatSafetensorsLacks) {
  expect_tensor_refused(tensor(typed_storage("ComplexDoubleStorage", "0", 1), 0, {1}, {1}),
                        "torch.ComplexDoubleStorage");
  expect_tensor_refused(tensor_of_dtype(untyped_storage("0", 16), {1}, {1}, "complex128"),
                        "torch.complex128");
}

TEST_F(TorchArchive, RefusesBareTensorAndOtherRoots) {
  expect_value_refused(four_floats(), {"a bare tensor", "torch.save({'weight': tensor}, FILE)"});
  expect_value_refused(list({four_floats()}), {"no dictionary of named tensors"});
  expect_value_refused(kNone, {"no dictionary of named tensors"});
}

// ---- Storages -----------------------------------------------------------------------------------

TEST_F(TorchArchive, RefusesShortStorageRecord) {
  expect_tensor_refused(tensor(typed_storage("FloatStorage", "0", 1000), 0, {1000}, {1}),
                        "its storage record holds 16 bytes; expected 4000");
}

TEST_F(TorchArchive, RefusesLongStorageRecord) {
  expect_tensor_refused(tensor(typed_storage("FloatStorage", "0", 3), 0, {3}, {1}),
                        "its storage record holds 16 bytes; expected 12");
}

TEST_F(TorchArchive, RefusesStorageSizeThatOverflowsOrIsNegative) {
  for (const std::int64_t elements : {std::int64_t{-1}, kHuge}) {
    expect_tensor_refused(tensor(typed_storage("FloatStorage", "0", elements), 0, {4}, {1}),
                          "a storage of " + std::to_string(elements) + " elements");
  }
  // Wraps around to 16 bytes when counted in 64 bits without care.
  expect_tensor_refused(tensor(typed_storage("FloatStorage", "0", (1ll << 62) + 4), 0, {4}, {1}),
                        "a storage of 4611686018427387908 elements");
}

TEST_F(TorchArchive, RefusesMissingStorageRecord) {
  expect_tensor_refused(four_floats("1"), "'data/1' is missing");
}

TEST_F(TorchArchive, RefusesStorageKeyThatIsNoNumber) {
  for (const char* key : {"../../etc/passwd", "../data.pkl", "", "0/../0", "0 "}) {
    expect_tensor_refused(four_floats(key), "storage key '");
  }
}

TEST_F(TorchArchive, RefusesCompressedStorageRecord) {
  std::string archive = torch_archive(dict({{"w", four_floats()}}), {{"0", kSixteenBytes}});
  poke(archive, local_header_at(archive, 3) + 8, 8, 2);
  poke(archive, central_header_at(archive, 3) + 10, 8, 2);
  expect_refused(archive, {"tensor 'w'", "'data/0' is compressed", "torch.save(torch.load("});
}

TEST_F(TorchArchive, RefusesCompressedPickle) {
  std::string archive = torch_archive(dict({{"w", four_floats()}}), {{"0", kSixteenBytes}});
  poke(archive, local_header_at(archive, 0) + 8, 8, 2);
  poke(archive, central_header_at(archive, 0) + 10, 8, 2);
  expect_refused(archive, {"'archive/data.pkl' is compressed"});
}

TEST_F(TorchArchive, RefusesOneStorageOfTwoTypes) {
  expect_value_refused(
      dict({{"a", four_floats()}, {"b", tensor(typed_storage("IntStorage", "0", 4), 0, {4}, {1})}}),
      {"tensor 'b'", "declared with another element type"});
}

TEST_F(TorchArchive, RefusesStorageOfUnknownForm) {
  const std::string type = global("torch", "FloatStorage");
  const std::vector<std::string> references = {
      text("storage"), tuple({text("storage"), type, text("0"), text("cpu")}),
      tuple({text("module"), type, text("0"), text("cpu"), integer(4)}),
      tuple({text("storage"), text("FloatStorage"), text("0"), text("cpu"), integer(4)}),
      tuple({text("storage"), type, integer(0), text("cpu"), integer(4)})};
  for (const auto& reference : references) {
    expect_tensor_refused(tensor(reference + "Q", 0, {4}, {1}), "a storage of an unknown form");
  }
  expect_tensor_refused(tensor(text("x"), 0, {4}, {1}), "without a storage");
  expect_tensor_refused(tensor(storage(global("torch", "Size"), "0", 4), 0, {4}, {1}),
                        "storage class torch.Size");
  expect_tensor_refused(tensor(storage(type, "0", 4).substr(0, 1) + text("storage") + type +
                                   text("0") + text("cpu") + text("4") + "tQ",
                               0, {4}, {1}),
                        "storage size that is no whole number");
}

TEST_F(TorchArchive, RefusesElementTypeThatContradictsTheStorage) {
  expect_tensor_refused(tensor_of_dtype(typed_storage("FloatStorage", "0", 4), {4}, {1}, "uint16"),
                        "an element type beside its storage's");
  expect_tensor_refused(tensor(untyped_storage("0", 16), 0, {4}, {1}), "no element type");
  expect_tensor_refused(tensor_of_dtype(untyped_storage("0", 16), {4}, {1}, "Size"),
                        "an element type that is none");
}

// ---- Shapes, strides and offsets ----------------------------------------------------------------

TEST_F(TorchArchive, RefusesOffsetOutsideTheStorage) {
  expect_view_refused(1000, {1}, {1}, "a range inside its storage of 4 elements");
  expect_view_refused(1, {4}, {1}, "a range inside its storage");
  expect_view_refused(kHuge, {4}, {1}, "a range inside its storage");
  expect_view_refused(5, {0}, {1}, "a range inside its storage");
}

TEST_F(TorchArchive, RefusesNegativeOffset) {
  expect_view_refused(-8, {4}, {1}, "from element -8");
  expect_view_refused(INT64_MIN, {4}, {1}, "from element -9223372036854775808");
}

TEST_F(TorchArchive, RefusesStrideOutsideTheStorage) {
  expect_view_refused(0, {2}, {100000}, "a range inside its storage");
  expect_view_refused(0, {2, 2}, {3, 1}, "a range inside its storage");
  expect_view_refused(0, {3, 1}, {kHuge, 1}, "a range inside its storage");
  expect_view_refused(0, {2, 2}, {kHuge, kHuge}, "a range inside its storage");
}

TEST_F(TorchArchive, RefusesNegativeStride) {
  expect_view_refused(3, {4}, {-1}, "strides with the negative number -1");
}

TEST_F(TorchArchive, RefusesNegativeSize) {
  expect_view_refused(0, {-4}, {1}, "shape with the negative number -4");
}

TEST_F(TorchArchive, RefusesShapeLargerThanTheStorage) {
  expect_view_refused(0, {5}, {1}, "a range inside its storage");
}

TEST_F(TorchArchive, RefusesShapeThatOverflows) {
  expect_view_refused(0, {1ll << 32, 1ll << 32}, {0, 0}, "fewer than 2^63 elements");
}

TEST_F(TorchArchive, RefusesRepeatedElements) {
  expect_view_refused(0, {1ll << 40}, {0}, "repeats a storage of 4 elements");
}

TEST_F(TorchArchive, RefusesStridesOfAnotherRank) {
  expect_view_refused(0, {2, 2}, {1}, "1 strides for 2 dimensions");
}

TEST_F(TorchArchive, RefusesMoreThan64Dimensions) {
  expect_view_refused(0, Integers(65, 1), Integers(65, 1), "65 dimensions; expected at most 64");
  EXPECT_EQ(read_tensor(
                tensor(typed_storage("FloatStorage", "0", 4), 0, Integers(64, 1), Integers(64, 1)))
                .elements,
            1u);
}

TEST_F(TorchArchive, RefusesShapeThatIsNoTupleOfWholeNumbers) {
  const auto with_shape = [&](const std::string& shape) {
    return call(global("torch._utils", "_rebuild_tensor_v2"),
                {typed_storage("FloatStorage", "0", 4), integer(0), shape, integers({1}), kFalse,
                 empty_ordered_dict()});
  };
  expect_tensor_refused(with_shape(integer(4)), "shape that is no tuple");
  expect_tensor_refused(with_shape(tuple({text("4")})), "shape that is no whole number");
}

TEST_F(TorchArchive, RefusesWrongNumberOfArguments) {
  expect_tensor_refused(call(global("torch._utils", "_rebuild_tensor_v2"), {}), "from 0 values");
  expect_tensor_refused(call(global("torch._utils", "_rebuild_tensor_v3"), {kNone}),
                        "from 1 values");
  expect_tensor_refused(call(global("torch._utils", "_rebuild_parameter"), {}), "without data");
  expect_tensor_refused(parameter(integer(1)), "whose data is no tensor");
}

// ---- Names --------------------------------------------------------------------------------------

TEST_F(TorchArchive, RefusesDuplicateName) {
  expect_value_refused(dict({{"w", four_floats()}, {"w", four_floats()}}),
                       {"tensor 'w': there twice"});
  expect_value_refused(dict({{"a", dict({{"b", four_floats()}})}, {"a.b", four_floats()}}),
                       {"tensor 'a.b': there twice"});
}

TEST_F(TorchArchive, RefusesDuplicateStateDict) {
  expect_value_refused(dict({{"state_dict", dict({})}, {"state_dict", dict({})}}),
                       {"key 'state_dict' twice"});
}

TEST_F(TorchArchive, RefusesTensorUnderOddKey) {
  expect_value_refused("}" + tuple({text("a")}) + four_floats() + "s", {"neither text nor"});
}

TEST_F(TorchArchive, RefusesDictInsideItself) {
  expect_value_refused("}" + std::string("q\x00", 2) + text("k") + std::string("h\x00s", 3),
                       {"nested over 64 levels deep"});
}

// Each level holds the one below twice, so the ways down double with every level. The memo takes
// the dictionaries apart: all lie in a list, and the last one is the state dict.
TEST_F(TorchArchive, RefusesDictsReachedOnTooManyWays) {
  const Entries thousand(1000, {"step", kNone});
  std::vector<std::string> levels = {dict(thousand) + std::string("q\x00", 2)};
  for (char level = 1; level < 40; ++level) {
    const std::string below = "h" + std::string(1, static_cast<char>(level - 1));
    levels.push_back("}(" + text("a") + below + text("b") + below + "uq" + std::string(1, level));
  }
  expect_value_refused(dict({{"levels", list(levels)}, {"model", "h\x27"}}),
                       {"over 10 million entries"});
}

// A key is stored once and recalled on every level, so the names grow beyond the file.
TEST_F(TorchArchive, RefusesLongKeyUsedOften) {
  const std::string key = text(std::string(8u << 20, 'x')) + std::string("q\x00", 2);
  const std::string recalled("h\x00", 2);
  std::string nested = four_floats();
  for (int level = 0; level < 20; ++level) nested = "}" + recalled + nested + "s";
  expect_value_refused(dict({{"key", list({key})}, {"model", nested}}), {"over 64 MiB of names"});
}

TEST_F(TorchArchive, EscapesHostileNames) {
  const std::string name = "w\x1b[31m\nforged";
  expect_value_refused(dict({{name, four_floats("9")}}), {"tensor 'w\\x1B[31m\\x0Aforged'"});
}

// ---- The archive --------------------------------------------------------------------------------

TEST_F(TorchArchive, RefusesBigEndianFile) {
  auto records = torch_records(document(dict({{"w", four_floats()}})), {{"0", kSixteenBytes}});
  records[2].bytes = "big";
  expect_refused(ZipBuilder(records).build(), {"byte order 'big'; expected little"});
}

TEST_F(TorchArchive, RefusesArchiveWithoutPickle) {
  const std::vector<ZipRecord> records = {{"docs/readme.txt", "hello"}};
  expect_refused(ZipBuilder(records).build(), {"without 'docs/data.pkl'"});
}

TEST_F(TorchArchive, RefusesEveryTruncation) {
  const std::string whole = torch_archive(dict({{"w", four_floats()}}), {{"0", kSixteenBytes}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(read(whole.substr(0, size)), FormatError) << size;
  }
}

TEST_F(TorchArchive, RefusesTwoRoots) {
  auto records = torch_records(document(dict({{"w", four_floats()}})), {{"0", kSixteenBytes}});
  records.push_back({"other/data.pkl", "x"});
  expect_refused(ZipBuilder(records).build(), {"in a second folder"});
}

TEST_F(TorchArchive, RefusesPickleOver64MiB) {
  const std::string pickle =
      document("X" + little_endian(64u << 20, 4) + std::string(64u << 20, 'x'));
  expect_refused(ZipBuilder(torch_records(pickle, {})).build(), {"larger than 64 MiB"});
}

TEST_F(TorchArchive, RefusesFormatFromBeforeTorch16) {
  const std::string magic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  expect_refused("\x80\x02" + magic + ".\x80\x02M\xe9\x03.",
                 {"before 1.6", "torch.save(torch.load(FILE, weights_only=True), FILE)"});
}

TEST_F(TorchArchive, RefusesTar) {
  std::string tar(1024, '\0');
  tar.replace(0, 8, "storages");
  tar.replace(257, 5, "ustar");
  expect_refused(tar, {"tar archive", "torch.save(torch.load(FILE, weights_only=True), FILE)"});
}

TEST_F(TorchArchive, RefusesOtherFiles) {
  expect_refused("", {"not a file that torch.save wrote"});
  expect_refused("<!DOCTYPE html>", {"not a file that torch.save wrote"});
  expect_refused("version https://git-lfs.github.com/spec/v1\n", {"git lfs pull"});
}

TEST_F(TorchArchive, RecognisesZip) {
  test::write_file(path_, "PK\x03\x04...");
  EXPECT_TRUE(looks_like_zip(File::open(path_)));
  test::write_file(path_, "PK");
  EXPECT_FALSE(looks_like_zip(File::open(path_)));
}

}  // namespace
}  // namespace suture::format
