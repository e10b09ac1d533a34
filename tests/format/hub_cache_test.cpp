#include "format/hub_cache.h"

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::TempDir;
using test::thrown_by;
using test::write_file;

const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";
const std::string kOther = "fedcba9876543210fedcba9876543210fedcba98";

// Clears the variables that place the cache, and puts them back at the end.
class HubCacheRoot : public testing::Test {
 protected:
  HubCacheRoot() {
    for (const char* name : kVariables) {
      const char* value = std::getenv(name);
      saved_[name] = value != nullptr ? std::optional<std::string>(value) : std::nullopt;
      ::unsetenv(name);
    }
  }
  ~HubCacheRoot() override {
    for (const auto& [name, value] : saved_) {
      if (value) {
        ::setenv(name, value->c_str(), 1);
      } else {
        ::unsetenv(name);
      }
    }
  }

 private:
  static constexpr const char* kVariables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                               "XDG_CACHE_HOME", "HOME"};
  std::map<const char*, std::optional<std::string>> saved_;
};

TEST_F(HubCacheRoot, IsEmptyWithoutAnyVariable) { EXPECT_EQ(hub_cache_root(), ""); }

TEST_F(HubCacheRoot, PrefersTheMoreExactVariable) {
  ::setenv("HOME", "/home/u", 1);
  EXPECT_EQ(hub_cache_root(), "/home/u/.cache/huggingface/hub");
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(hub_cache_root(), "/xdg/huggingface/hub");
  ::setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_cache_root(), "/hf/hub");
  ::setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(hub_cache_root().lexically_normal(), fs::path("/old/").lexically_normal());
  ::setenv("HF_HUB_CACHE", "/new", 1);
  EXPECT_EQ(hub_cache_root().lexically_normal(), fs::path("/new/").lexically_normal());
}

TEST_F(HubCacheRoot, TreatsAnEmptyVariableAsUnset) {
  ::setenv("HF_HUB_CACHE", "", 1);
  ::setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_cache_root(), "/hf/hub");
}

TEST(LooksLikeHubName, TakesNamesAndRevisions) {
  for (const char* name :
       {"org/name", "Qwen/Qwen2.5-0.5B", "a/b", "0rg/na_me.v1-x", "org/name@main",
        "org/name@refs/pr/1", "org/name@0123456789abcdef0123456789abcdef01234567"}) {
    EXPECT_TRUE(looks_like_hub_name(name)) << name;
  }
  EXPECT_TRUE(looks_like_hub_name(std::string(96, 'o') + "/" + std::string(96, 'n') + "@" +
                                  std::string(250, 'r')));
}

TEST(LooksLikeHubName, LeavesPathsAlone) {
  for (const char* name :
       {"",          "name",       "/",          "org/",        "/name",     "org/name/more",
        "./name",    "../name",    "org/..",     "org/.name",   "-org/name", "_org/name",
        "~/name",    "org/na me",  "org/na\nme", "org/n\u00E9", "org/name@", "org/name@a@b",
        "@org/name", "org@x/name", "org/@x"}) {
    EXPECT_FALSE(looks_like_hub_name(name)) << name;
  }
  EXPECT_FALSE(looks_like_hub_name(std::string(97, 'o') + "/n"));
  EXPECT_FALSE(looks_like_hub_name("o/" + std::string(97, 'n')));
  EXPECT_FALSE(looks_like_hub_name("o/n@" + std::string(251, 'r')));
  EXPECT_FALSE(looks_like_hub_name(std::string(1'000'000, 'o') + "/n"));
}

// A cache with one repository, `org/name`, of one snapshot.
class FindInHubCache : public testing::Test {
 protected:
  FindInHubCache() { fs::create_directories(repository() / "snapshots" / kCommit); }

  fs::path repository() const { return cache_ / "models--org--name"; }
  void write_ref(const std::string& revision, const std::string& content) const {
    write_file(repository() / "refs" / revision, content);
  }
  CachedModel find(const std::string& name) const { return find_in_hub_cache(cache_.path(), name); }
  template <class E>
  std::string refusal_of(const std::string& name) const {
    const std::string said = thrown_by<E>([&] { find(name); });
    EXPECT_TRUE(test::is_one_plain_line(said));
    return said;
  }

  const TempDir cache_;
};

TEST_F(FindInHubCache, FollowsMainUnlessTold) {
  write_ref("main", kCommit);
  const CachedModel found = find("org/name");
  EXPECT_EQ(found.snapshot, repository() / "snapshots" / kCommit);
  EXPECT_EQ(found.name, "org/name@" + kCommit);
}

TEST_F(FindInHubCache, TakesACommit) {
  EXPECT_EQ(find("org/name@" + kCommit).snapshot, repository() / "snapshots" / kCommit);
}

TEST_F(FindInHubCache, FollowsANestedRevision) {
  write_ref("refs/pr/1", kCommit);
  EXPECT_EQ(find("org/name@refs/pr/1").name, "org/name@" + kCommit);
}

TEST_F(FindInHubCache, TrimsWhatEditorsAddToARef) {
  for (const char* end : {"\n", "\r\n", " ", "\t\n\n"}) {
    write_ref("main", kCommit + end);
    EXPECT_EQ(find("org/name").name, "org/name@" + kCommit);
  }
}

TEST_F(FindInHubCache, RefusesARefThatIsNoCommit) {
  for (const std::string& content :
       {std::string(), std::string("\n"), kCommit.substr(1), kCommit + "0", " " + kCommit,
        std::string("../../../../etc"), "G" + kCommit.substr(1), "A" + kCommit.substr(1),
        std::string(40, '.'), kCommit + "\n" + kOther}) {
    write_ref("main", content);
    const std::string said = refusal_of<FormatError>("org/name");
    EXPECT_TRUE(holds(said, "expected a commit of 40 hexadecimal digits")) << content;
    EXPECT_TRUE(holds(said, (repository() / "refs/main").string()));
  }
}

TEST_F(FindInHubCache, RefusesAHugeRef) {
  write_ref("main", std::string(5000, 'a'));
  EXPECT_TRUE(holds(refusal_of<FormatError>("org/name"), "5000 bytes; expected at most 4096"));
}

TEST_F(FindInHubCache, RefusesARevisionThatClimbs) {
  write_file(cache_ / "stolen", kCommit);
  for (const char* revision : {"../../stolen", "a/../../../stolen", "/etc/passwd", ".", ".."}) {
    EXPECT_TRUE(
        holds(refusal_of<UsageError>("org/name@" + std::string(revision)), "not a revision"))
        << revision;
  }
}

TEST_F(FindInHubCache, SaysHowToDownloadWhatIsNotThere) {
  EXPECT_TRUE(holds(refusal_of<UsageError>("org/other"), "`hf download org/other`"));
  EXPECT_TRUE(
      holds(refusal_of<UsageError>("org/other@v1"), "`hf download org/other --revision v1`"));
}

TEST_F(FindInHubCache, TellsAMissingRevision) {
  write_ref("main", kCommit);
  const std::string said = refusal_of<UsageError>("org/name@v2");
  EXPECT_TRUE(holds(said, "the cache holds no revision 'v2'"));
  EXPECT_TRUE(holds(said, "hf download org/name --revision v2"));
}

TEST_F(FindInHubCache, TellsAMissingSnapshot) {
  write_ref("main", kOther);
  EXPECT_TRUE(holds(refusal_of<UsageError>("org/name"), "no files of revision " + kOther));
}

TEST_F(FindInHubCache, TellsThatThereIsNoCache) {
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { find_in_hub_cache({}, "org/name"); }),
                    "no Hugging Face cache to look in"));
}

TEST(LinkBoundary, IsTheRepositoryForASnapshot) {
  const TempDir dir;
  const fs::path snapshot = dir / "models--org--name" / "snapshots" / kCommit;
  fs::create_directories(snapshot);
  EXPECT_EQ(link_boundary(snapshot), fs::canonical(dir / "models--org--name"));
}

TEST(LinkBoundary, IsTheFolderItselfElsewhere) {
  const TempDir dir;
  for (const char* folder : {"model", "models--org--name/other/x", "org/snapshots/x"}) {
    fs::create_directories(dir / folder);
    EXPECT_EQ(link_boundary(dir / folder), fs::canonical(dir / folder)) << folder;
  }
}

TEST(LinkBoundary, FollowsALinkToTheFolder) {
  const TempDir dir;
  fs::create_directory(dir / "model");
  fs::create_symlink("model", dir / "link");
  EXPECT_EQ(link_boundary(dir / "link"), fs::canonical(dir / "model"));
}

}  // namespace
}  // namespace suture::format
