// What a verdict on a box says, as the review server takes it: glip.verdicts.
//
// A box is one of the sample that the server sent; `target` is what its verdict is bound to, `box` where the thing is
// said to be.
(() => {
  "use strict";
  const glip = (globalThis.glip ??= {});

  const same = (one, other) => one.every((value, side) => Math.abs(value - other[side]) < 0.01);

  // A verdict says how things stand in the end: a box that stands where a reviewer put it is accepted as that box.
  function accepted(box) {
    const said = { phrase: box.phrase, target: box.target };
    if (box.score === null) return { ...said, verdict: "added", drawn: box.box };
    return same(box.box, box.target) ? { ...said, verdict: "accepted" } : { ...said, verdict: "corrected", drawn: box.box };
  }

  // What brings a box back to where it stands now: for undo.
  function before(box) {
    const said = { phrase: box.phrase, target: box.target, verdict: box.verdict ?? "withdrawn" };
    return ["corrected", "added"].includes(box.verdict) ? { ...said, drawn: box.box } : said;
  }

  // Boxes as they will stand when these verdicts are saved.
  function expected(boxes, judgements) {
    const about = (said, box) => said.phrase === box.phrase && same(said.target, box.target);
    const stand = boxes.flatMap((box) => {
      const said = judgements.find((one) => about(one, box));
      if (!said) return [box];
      const gone = ["withdrawn", "rejected"].includes(said.verdict);
      if (gone && box.score === null) return []; // a reviewer's own: nothing stored stands for it
      const verdict = said.verdict === "withdrawn" ? null : said.verdict;
      return [{ ...box, verdict, by: verdict && "you", box: said.drawn ?? box.target }];
    });
    const drawn = judgements.filter((said) => said.verdict === "added" && !boxes.some((box) => about(said, box)));
    return [...stand, ...drawn.map(({ phrase, target, drawn: box }) => ({ phrase, target, box, verdict: "added", by: "you", score: null, selected: true }))];
  }

  // The box to look at after number `from`: the next without a verdict, else the first without one, else the same.
  function nextUnjudged(boxes, from) {
    const open = boxes.map((_, index) => index).filter((index) => !boxes[index].verdict);
    return open.find((index) => index > from) ?? open[0] ?? Math.min(Math.max(from, 0), boxes.length - 1);
  }

  glip.verdicts = { same, accepted, before, expected, nextUnjudged };
})();
