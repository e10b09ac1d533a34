#include "model/freed_memory.h"

#include <climits>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace suture::model {

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that it takes
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

}  // namespace suture::model
