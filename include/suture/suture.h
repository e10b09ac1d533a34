#pragma once

/// The whole library. Each header also stands on its own.

#include "suture/analysis.h"
#include "suture/applied_vector.h"
#include "suture/causal_model.h"
#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/dtype.h"
#include "suture/error.h"
#include "suture/language_model.h"
#include "suture/plan.h"
#include "suture/realised_change.h"
#include "suture/run_options.h"
#include "suture/selection.h"
#include "suture/site.h"
#include "suture/state_dict.h"
#include "suture/surgery.h"
#include "suture/task_vector.h"
#include "suture/tensor_info.h"
#include "suture/tokenizer.h"
#include "suture/version.h"
