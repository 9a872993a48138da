// Additive (Bahdanau) attention between two texts: additive ["one text" "another"]. Prints which words of the second each word of the first looks at.
// The layer is drawn from a seed, not trained: what you see is the interface.
#include "words.h"

using namespace weir::attention;

int main(int argc, char** argv) {
  const auto asking = split(argc > 2 ? argv[1] : "Where does the river go?"), asked = split(argc > 2 ? argv[2] : "All rivers run into the sea");
  const Array<float> q = embed(asking, 64), k = embed(asked, 64);
  const Settings settings{.form = Form::additive, .model = 64, .hidden = 32};
  const auto layer = initialise<float>(settings, 1);
  if (!layer) return complain(layer.error());
  const auto seen = forward<float>(settings, *layer, {.q = q, .k = k}, {.weights = true});
  if (!seen) return complain(seen.error());
  print_looks(asking, asked, seen->weights);
}
