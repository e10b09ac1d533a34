#include "kernels/cuda_backend.h"

#include <fstream>

#include <gtest/gtest.h>

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::kernels {
namespace {

using test::holds;
using test::TempDir;

TEST(CudaBackend, LoadsTheFirstThatIsOneOfThisVersion) {
  const CudaBackend backend = load_cuda_backend(
      {"/nowhere/libsuture_cuda.so", NO_BACKEND, OTHER_VERSION_CUDA, PLAYED_CUDA});
  EXPECT_EQ(backend.missing, "");
  ASSERT_NE(backend.table, nullptr);
  EXPECT_EQ(backend.table->probe(0).operation, nullptr);
}

TEST(CudaBackend, SaysWhyThereIsNone) {
  EXPECT_TRUE(holds(load_cuda_backend({}).missing, "libsuture_cuda.so was not found"));
  EXPECT_TRUE(holds(load_cuda_backend({"/nowhere/libsuture_cuda.so"}).missing, "was not found"));
  EXPECT_TRUE(holds(load_cuda_backend({OTHER_VERSION_CUDA}).missing, "another version"));
  EXPECT_TRUE(holds(load_cuda_backend({NO_BACKEND}).missing, "another version"));
}

TEST(CudaBackend, AFileThatIsNoLibraryIsNone) {
  const TempDir dir;
  const std::string path = (dir / "libsuture_cuda.so").string();
  std::ofstream(path) << "this is text";
  EXPECT_TRUE(holds(load_cuda_backend({path}).missing, path));
  // Absence elsewhere says less than what is wrong here.
  EXPECT_TRUE(holds(load_cuda_backend({"/nowhere/a.so", path, "/nowhere/b.so"}).missing, path));
}

TEST(CudaBackend, AStubFails) {
  const CudaBackend stub = load_cuda_backend({});
  ASSERT_NE(stub.table, nullptr);
  EXPECT_NE(stub.table->probe(0).operation, nullptr);
  EXPECT_NE(stub.table->add_in_place(0, nullptr, nullptr, 0, nullptr, 0).operation, nullptr);
  EXPECT_NE(stub.table->measure_values(0, nullptr, nullptr, 0, nullptr, 0, nullptr).operation,
            nullptr);
  EXPECT_NE(stub.table->measure_pairs(0, nullptr, nullptr, 0, nullptr, 0, nullptr).operation,
            nullptr);
}

TEST(CudaBackend, LooksBesideTheProgramFirst) {
  const auto candidates = cuda_backend_candidates();
  ASSERT_GE(candidates.size(), 2u);
  EXPECT_EQ(candidates.front().front(), '/');
  EXPECT_EQ(candidates.back(), "libsuture_cuda.so");
}

// Where the kernels were built, this program finds them; a device may or may not be there.
TEST(CudaBackend, IsFoundWhereItWasBuilt) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's own dlopen does not look along the program's run path";
#elif defined(SUTURE_CUDA_BUILT)
  EXPECT_EQ(cuda_backend().missing, "");
#else
  GTEST_SKIP() << "the CUDA kernels were not built";
#endif
}

TEST(CudaBackend, ADeviceThatIsNotThereIsToldInWords) { EXPECT_NE(why_no_cuda_kernels(1000), ""); }

}  // namespace
}  // namespace suture::kernels
