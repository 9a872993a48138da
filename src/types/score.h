// A number with its explanation: the value is the sum of its named parts, and a part may name the past items that carry it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weir {

struct Cause {       // a past item that carries a part
  std::string item;  // its id as the caller knows it
  std::string title;
  double value = 0;  // its share of the part; the causes of a part sum to the part when all are listed
};

struct Part {
  std::string name;  // "recency", "source", "taste.like", …: rank/parts.cc has the table
  double value = 0;
  std::vector<Cause> from;  // the strongest first; may be cut, never padded
};

struct Score {
  double value = 0;  // sum of the parts, within 1e-5 (checked when it is shown)
  std::vector<Part> parts;
  int signals = 0;      // how many signals of this reader stand behind it
  bool enough = false;  // false below ten signals: Weir does not know enough yet, and says so
};

}  // namespace weir
