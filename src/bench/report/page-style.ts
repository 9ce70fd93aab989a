/** The style sheet of the report: for light, dark and paper, without anything from elsewhere. */
import { FONT } from './style.js';

export const STYLE = `
:root{color-scheme:light dark;--paper:#fdfdfc;--ink:#1a1c20;--soft:#5d636d;--line:#dcdee2;--tint:#f3f4f5;--link:#0b62b0;
--better:#0a7552;--worse:#b3400f;--warn:#fff3d6;--warn-ink:#5c4300}
@media (prefers-color-scheme:dark){:root{--paper:#14161a;--ink:#e8e9eb;--soft:#a2a8b2;--line:#33373f;--tint:#1d2026;
--link:#72b6f5;--better:#45c99b;--worse:#f38b5c;--warn:#3a2f12;--warn-ink:#f4dfa6}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 ${FONT}}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:3rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.015em}
h2{font-size:1.4rem;line-height:1.25;margin:3.5rem 0 .5rem;padding-top:1.4rem;border-top:1px solid var(--line);letter-spacing:-.01em}
h3{font-size:1rem;margin:1.8rem 0 .5rem}
p{max-width:46rem;margin:.5rem 0 1rem}
.lead{color:var(--soft);font-size:1.06rem;margin-top:0}
a{color:var(--link);text-underline-offset:.15em}
code{font:.9em ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}
nav ol{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;list-style:none;margin:1.2rem 0 0;padding:0}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.3rem 1.4rem;margin:.8rem 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.warnings{list-style:none;margin:1.4rem 0;padding:.7rem 1.1rem;background:var(--warn);color:var(--warn-ink);border-radius:.4rem}
.scroll{overflow-x:auto;margin:0 -1.5rem;padding:.1rem 1.5rem}
.scroll:focus-visible{outline:2px solid var(--link)}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;line-height:1.35;margin:.3rem 0 1.2rem}
caption{text-align:left;font-weight:600;padding:.5rem 0 .4rem;caption-side:top}
th,td{padding:.32rem .8rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line);vertical-align:baseline}
th{font-weight:600}
thead th{border-bottom:1.5px solid var(--soft);color:var(--soft);vertical-align:bottom}
th:first-child,td:first-child{padding-left:0}
.n{text-align:left;font-weight:400}
.text td{white-space:normal;text-align:left}
tbody tr:hover{background:var(--tint)}
.ours .n:first-child{font-weight:600}
tr.break td,tr.break th{border-top:1.5px solid var(--soft)}
td small{color:var(--soft);font-size:.88em;margin-left:.35em}
td.better{color:var(--better)}
td.worse{color:var(--worse)}
.dot{display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.55em;vertical-align:.04em}
summary{cursor:pointer;color:var(--link);font-size:.92rem}
details{margin:.4rem 0 1rem}
figure{margin:1.4rem 0 1rem}
figure svg{display:block;max-width:100%;height:auto;color:var(--ink)}
figcaption{color:var(--soft);font-size:.88rem;margin-top:.5rem}
.notes{color:var(--soft);font-size:.88rem;padding-left:1.1rem;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:.88rem;padding-top:2rem;padding-bottom:3rem}
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--tint:#fff;--link:#000;--better:#0a5c42;--worse:#8a300a;--warn:#fff;--warn-ink:#000}
body{font-size:10pt}main,header,footer{max-width:none;padding:0}nav{display:none}
.scroll{overflow:visible;margin:0;padding:0}table{font-size:7.5pt}th,td{padding:.2rem .4rem}
h2{break-after:avoid}figure,tr,.warnings{break-inside:avoid}.warnings{border:1px solid #888}thead{display:table-header-group}}
`;
