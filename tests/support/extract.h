#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "suture/surgery.h"

#include "support/model_trio.h"

namespace suture::test {

/// Three relatives, of which `tuned - base` is extracted.
class Extract : public ModelTrio {
 protected:
  ExtractReport run(const std::string& out, const ExtractOptions& options = {}) {
    return extract(open("tuned"), open("base"), path(out), options);
  }

  // A model that is one tensor of one dimension: nothing to take for kinship.
  void make_one_tensor(at::ScalarType type, const std::vector<double>& tuned,
                       const std::vector<double>& base) {
    StateDict a, b;
    a.set("w", at::tensor(tuned, at::kDouble).to(type));
    b.set("w", at::tensor(base, at::kDouble).to(type));
    SaveOptions options;
    options.replace_existing = true;
    save(a, path("tuned.safetensors"), options);
    save(b, path("base.safetensors"), options);
  }

  ExtractReport run_on_one_tensor(const ExtractOptions& given = {}) {
    ExtractOptions options = given;
    options.replace_existing = true;
    return extract(open("tuned.safetensors"), open("base.safetensors"), path("v.safetensors"),
                   options);
  }

  // BASE + v as inject writes it.
  StateDict base_plus_vector() {
    InjectOptions options;
    options.replace_existing = true;
    inject(open("base.safetensors"), TaskVector::open(path("v.safetensors")),
           path("sum.safetensors"), options);
    return load(path("sum.safetensors"));
  }
};

}  // namespace suture::test
