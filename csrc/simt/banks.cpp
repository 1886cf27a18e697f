#include "simt/banks.h"

#include <bit>

namespace hb::simt {

unsigned turns_of(const void* const (&pieces)[8]) {
  unsigned most = 0;
  // A piece covers four neighbouring banks: those with the same four collide, unless they are the same piece.
  for (unsigned banks = 0; banks < 8; ++banks) {
    unsigned here = 0;
    for (int i = 0; i < 8; ++i) {
      if (!pieces[i] || reinterpret_cast<uintptr_t>(pieces[i]) / 16 % 8 != banks) continue;
      bool repeated = false;
      for (int j = 0; j < i; ++j) repeated = repeated || pieces[j] == pieces[i];
      here += repeated ? 0 : 1;
    }
    most = here > most ? here : most;
  }
  return most;
}

void Banks::start(unsigned warps) {
  if (warps_.size() < warps) warps_.resize(warps);
  for (auto& places : warps_) places.clear();
  turns_ = 0;
}

void Banks::access(unsigned warp, unsigned lane, const void* at, Site site) {
  std::vector<Place>& places = warps_[warp];
  const auto same = [](Site a, Site b) { return std::bit_cast<const void*>(a) == std::bit_cast<const void*>(b); };
  size_t i = 0;
  while (i < places.size() && !same(places[i].site, site)) ++i;
  if (i == places.size()) {
    places.emplace_back();
    places[i].site = site;
  }
  Place& place = places[i];
  const uint32_t turn = place.made[lane]++ - place.done;
  if (turn >= place.open.size()) place.open.resize(turn + 1);
  place.open[turn].lanes |= 1u << lane;
  place.open[turn].at[lane] = at;
  size_t full = 0;
  while (full < place.open.size() && place.open[full].lanes == 0xffffffffu) close(place.open[full++]);
  place.open.erase(place.open.begin(), place.open.begin() + static_cast<std::ptrdiff_t>(full));
  place.done += static_cast<uint32_t>(full);
}

/// 16 bytes for each of 32 lanes go in four quarters of eight.
void Banks::close(const Together& together) {
  for (unsigned quarter = 0; quarter < 32; quarter += 8) {
    const void* pieces[8];
    for (unsigned i = 0; i < 8; ++i)
      pieces[i] = together.lanes >> (quarter + i) & 1 ? together.at[quarter + i] : nullptr;
    turns_ += turns_of(pieces);
  }
}

uint64_t Banks::finish() {
  for (auto& places : warps_)
    for (const Place& place : places)
      for (const Together& together : place.open) close(together);
  return turns_;
}

}  // namespace hb::simt
