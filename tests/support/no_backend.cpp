// A library that exports nothing of a backend.
extern "C" __attribute__((visibility("default"))) int suture_no_backend() { return 0; }
