// What is on the README's picture: five invented sources, with what a reader of them thought of their older items.
const minutes = (n) => new Date(Date.now() - n * 60_000).toISOString();
const item = (id, ago, title, first, more = [], language = 'en') => ({
  id, title, language, url: `https://${id.split('/')[0]}/${id.split('/')[1]}`, date_published: minutes(ago), content_html: [first, ...more].map((text) => `<p>${text}</p>`).join(''),
});

export const SOURCES = [
  { title: 'River Notes', folder: 'Water', items: [
    item('notes.example/12', 9, 'The salmon are back above the old weir', 'Forty-one fish passed the counter in the first week of October, more than in the whole of last autumn. The new pass is a simple thing: nine pools, each a hand lower than the one before.', [
      'For sixty years the weir at Alder Mill was the end of the river for anything that swims upstream. The mill has stood still since 1961; what remained was a wall with water behind it.',
      'The pass was dug by hand where the bypass channel used to be. It cost less than a mile of road. Whether the fish would find it was an open question until the rain came.']),
    item('notes.example/11', 64, 'How to read a river gauge', 'The number on the board is a height, not a depth, and not a flow. What lies between the three is a curve that somebody has to measure, in waders.'),
    item('notes.example/10', 190, 'A larch bridge, forty years on', 'The handrail was replaced twice, the deck once, the beams never. Larch that stays wet, or stays dry, lasts; it is the change that rots it.'),
    item('notes.example/9', 380, 'Eels cross the meadow at night', 'After the first cold rain they leave the ditch and go overland, to the next water. We counted eleven, and a heron who counted too.'),
    item('notes.example/7', 2000, 'Last autumn’s salmon count', 'Thirty-six fish in eight weeks, all below the weir. They wait there for high water.'),
    item('notes.example/6', 2600, 'A fish pass of timber, at Birch Mill', 'Seven pools, built by six people in five weekends. The first trout went up on the sixth.'),
    item('notes.example/8', 1500, 'What the flood of 1921 moved', 'Three barns, the lower mill, and the parish boundary, which still follows the river that was.'),
  ] },
  { title: '水文周刊', folder: 'Water', items: [
    item('shuiwen.example/7', 31, '鱼道建成后，洄游鱼类明显增多', '九级水池，每一级只比上一级低一掌。第一周就有四十一尾鱼通过。', [], 'zh'),
    item('shuiwen.example/6', 260, '老水位站为什么还在用木尺', '传感器会漂移，木尺不会。每天早上八点，观测员仍要走到水边看一眼。', [], 'zh'),
    item('shuiwen.example/5', 1700, '枯水期的三个误区', '水少不等于水清，也不等于水慢。', [], 'zh'),
  ] },
  { title: 'Small Machines', folder: 'Software', items: [
    item('machines.example/31', 48, 'One writer is enough', 'Most services that ask for a distributed database have one machine’s worth of writes. Measure the commits a second before you buy the second machine.'),
    item('machines.example/32', 20, 'Read the log before you restart it', 'The restart will mend it, and you will never know what it mended.'),
    item('machines.example/30', 150, 'A queue without a bound is a leak', 'It works until it does not, and then it takes the evening with it. Say how long the queue may be, and what happens to the next one.'),
    item('machines.example/29', 700, 'Yet another framework, reviewed', 'It starts in four seconds and needs a plugin to print a date.'),
  ] },
  { title: 'Type & Page', folder: 'Design', items: [
    item('type.example/5', 82, 'The page that gets out of the way', 'Sixty-six letters to a line, one and a half lines of air, and no second column that blinks. Everything else is a habit of those who sell the second column.'),
    item('type.example/6', 27, 'A serif for screens, again', 'Charter was drawn for the printers of 1987 and looks at home on the screens of today. The reason is the same: few curves, open forms.'),
    item('type.example/4', 420, 'Mixing Han and Latin without a fight', 'Set the Latin a little larger, give it a quarter space of air, and let the comma belong to the language of the sentence.'),
  ] },
  { title: 'Builds', folder: 'Work', items: [
    item('builds.example/882', 15, 'main is green again', 'All 812 tests passed in 9 minutes.'),
    item('builds.example/881', 130, 'main is red: 2 of 812 failed', 'test_late_frost and test_frost_warning, since “simplify the calendar”.'),
  ] },
];
export const LIKED = /salmon count|fish pass of timber|flood of 1921|木尺/, DISLIKED = /framework|is red/, OPENED = /larch|queue|Han and Latin/;
