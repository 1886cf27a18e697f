#include "ops/all.h"

namespace hb {

const Contract* const kContracts[kOpCount] = {
#define HB_ENTRY(name, type) &name##_contract,
    HB_OPS(HB_ENTRY)
#undef HB_ENTRY
};

}  // namespace hb
