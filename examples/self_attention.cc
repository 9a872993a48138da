// Multi-head self-attention over a sentence: self_attention ["a sentence"]. Prints, for every head, which words each word looks at.
// The layer is drawn from a seed, not trained: what you see is the interface, and that the heads differ.
#include "words.h"

using namespace weir::attention;

int main(int argc, char** argv) {
  const auto words = split(argc > 1 ? argv[1] : "The river carries what people upstream have written");
  const Array<float> x = embed(words, 64);
  const Settings settings{.form = Form::multi_head, .heads = 4, .model = 64};
  const auto layer = initialise<float>(settings, 1);
  if (!layer) return complain(layer.error());
  const auto seen = forward<float>(settings, *layer, {.q = x, .k = x, .v = x}, {.weights = true});
  if (!seen) return complain(seen.error());
  print_looks(words, words, seen->weights);
}
