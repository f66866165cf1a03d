"""The style of the page: light and dark, wide and narrow, on paper. Every text has a contrast of 4.5 at least, and
every sign and interval one of 3."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --panel: #f6f8fa; --text: #1f2328; --quiet: #57606a;
  --line: #d0d7de; --accent: #0550ae; --soft: #818b98; --good: #116329; --bad: #a40e26; --mark: #fff3b0;
  --h0: #ffffff; --h1: #eaf3ff; --h2: #d5e7ff; --h3: #bfdaff; --h4: #a9cdfd; --h5: #93bff9 }
@media screen and (prefers-color-scheme: dark) { :root { --page: #0d1117; --panel: #161b22; --text: #e6edf3;
  --quiet: #9da7b3; --line: #3d444d; --accent: #79b8ff; --soft: #768390; --good: #56d364; --bad: #ff9a94;
  --mark: #5c4a00; --h0: #0d1117; --h1: #10203a; --h2: #132a4f; --h3: #163564; --h4: #1a4079; --h5: #1e4b8e } }
* { box-sizing: border-box }
html { background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100% }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; overflow-wrap: anywhere }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 2.5rem 0 .75rem; padding-top: 1rem;
  border-top: 1px solid var(--line) }
h3 { font-size: 1.1rem; line-height: 1.3; margin: 2rem 0 .5rem }
h4 { font-size: 1rem; margin: 0 0 .5rem }
p, ul, dl { margin: .5rem 0; max-width: 48rem }
a { color: var(--accent) }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; list-style: none; max-width: none }
.quiet { color: var(--quiet); font-size: .875rem }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 2px }

.verdict { border: 1px solid var(--line); border-left: 6px solid var(--soft); border-radius: 6px; padding: .5rem 1rem;
  margin: .75rem 0; background: var(--panel) }
.verdict.better { border-left-color: var(--good) } .verdict.worse { border-left-color: var(--bad) }
.verdict h3 { margin: .25rem 0 } .verdict p { max-width: none }
.verdict.better .said { color: var(--good) } .verdict.worse .said { color: var(--bad) }
.said { white-space: nowrap }
.sign { display: inline-block; width: .8em; height: .8em; margin-right: .35em; vertical-align: -.05em;
  background: currentColor; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.right .sign { clip-path: polygon(0 55%, 15% 40%, 38% 62%, 85% 10%, 100% 25%, 38% 92%) }
.wrong .sign { clip-path: polygon(12% 0, 50% 38%, 88% 0, 100% 12%, 62% 50%, 100% 88%, 88% 100%, 50% 62%, 12% 100%,
  0 88%, 38% 50%, 0 12%) }
.partly .sign { clip-path: polygon(50% 0, 50% 100%, 0 100%, 0 0) }
.failed .sign { clip-path: polygon(50% 0, 100% 100%, 0 100%) }
.unknown .sign { clip-path: polygon(0 40%, 100% 40%, 100% 60%, 0 60%) }
.better .said .sign { clip-path: polygon(50% 0, 100% 60%, 65% 60%, 65% 100%, 35% 100%, 35% 60%, 0 60%) }
.worse .said .sign { clip-path: polygon(50% 100%, 100% 40%, 65% 40%, 65% 0, 35% 0, 35% 40%, 0 40%) }
.same .said .sign { clip-path: polygon(0 20%, 100% 20%, 100% 42%, 0 42%, 0 58%, 100% 58%, 100% 80%, 0 80%) }
.open .said .sign { clip-path: circle(35%) }

figure { margin: 1rem 0 }
figcaption { color: var(--quiet); font-size: .875rem; max-width: 48rem }
.pair { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)) }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--text) }
svg.wide { max-width: 45rem } svg.small { max-width: 24rem } svg.narrow { display: none; max-width: 30rem }
svg .grid { stroke: var(--line); stroke-width: 1 } svg .zero { stroke: var(--text); stroke-width: 1.5 }
svg .tick { fill: var(--quiet) } svg .strong, svg .main.name { font-weight: 700 }
svg .name { paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round }
svg .leader { stroke: var(--quiet); stroke-width: 1 }
svg .span { stroke: var(--soft); stroke-width: 2 }
svg .main.span { stroke: var(--accent); stroke-width: 3 }
svg .front { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-dasharray: 6 4 }
svg .level { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 2 4 }
svg .dot { fill: var(--page); stroke: var(--text); stroke-width: 2 }
svg .pupil { fill: var(--text) }
svg .main.dot { fill: var(--accent); stroke: var(--accent) }
svg .ring { fill: none; stroke: var(--text); stroke-width: 1.5 }
svg .paper { fill: var(--page) } svg .track { fill: var(--panel); stroke: var(--line) } svg .bar { fill: var(--accent) }
svg .curve { fill: none; stroke: var(--accent); stroke-width: 2 }
.key { columns: 15rem; column-gap: 1.5rem; padding-left: 2.25rem; margin: .5rem 0; font-size: .875rem;
  max-width: 45rem }
.key li { break-inside: avoid; overflow-wrap: anywhere } .key .main { font-weight: 700 }
.key.narrow { display: none }

.scroll { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: right; vertical-align: top }
thead th { background: var(--panel); vertical-align: bottom }
th.text, td.text { text-align: left } tbody th { text-align: left; font-weight: 600; min-width: 8rem; max-width: 20rem;
  overflow-wrap: break-word }
thead th:first-child { text-align: left }
td.text { min-width: 12rem; max-width: 32rem; overflow-wrap: anywhere }
th.text, thead th { max-width: 14rem; overflow-wrap: break-word }
td .quiet, th .quiet { display: block; font-weight: 400; color: var(--text) } .figure { white-space: nowrap }
tr.main th, tr.main td { background: var(--h1) }
.h0 { background: var(--h0) } .h1 { background: var(--h1) } .h2 { background: var(--h2) } .h3 { background: var(--h3) }
.h4 { background: var(--h4) } .h5 { background: var(--h5) }
td[class*=" h"] { print-color-adjust: exact; -webkit-print-color-adjust: exact }
.best { font-weight: 700; text-decoration: underline }

article { border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; margin: 1rem 0 }
details { margin: .25rem 0 } summary { cursor: pointer; color: var(--accent); padding: .2rem 0 }
.sides { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr));
  list-style: none; padding: 0; max-width: none }
.sides > li { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .5rem .75rem;
  min-width: 0 }
.sides > li.main { border: 2px solid var(--text) }
.who { margin: 0; font-weight: 600 } .mark { margin: 0; font-size: .875rem }
.right > .mark { color: var(--good) } .wrong > .mark, .failed > .mark { color: var(--bad) }
.words { white-space: pre-wrap; overflow: hidden; font-size: .875rem; margin: .25rem 0; max-width: none }
.words.long { max-height: 24rem; overflow: auto }
.cut { color: var(--quiet); font-style: italic }
mark { background: var(--mark); color: var(--text); font-weight: 700; print-color-adjust: exact }
dl.made { display: grid; grid-template-columns: minmax(min-content, max-content) 1fr; gap: .25rem 1rem }
dl.made dt { color: var(--quiet) } dl.made dd { margin: 0; min-width: 0 }

@media (max-width: 44rem) {
  svg.wide.twice { display: none } svg.narrow { display: block }
  .key.wide { display: none } .key.narrow { display: block }
  dl.made { grid-template-columns: 1fr; gap: 0 } dl.made dd { margin-bottom: .5rem }
  body { padding: .75rem } article { padding: .5rem .75rem } h1 { font-size: 1.4rem }
}
@media print {
  @page { margin: 15mm }
  html { font-size: 10pt } body { padding: 0; max-width: none } nav { display: none }
  .scroll { overflow: visible } .words.long { max-height: none; overflow: visible }
  table { font-size: 8pt } th, td { padding: .15rem .3rem } td.text { min-width: 6rem }
  figure, .verdict, tr, .sides > li { break-inside: avoid } h2, h3, h4 { break-after: avoid }
}
"""
