"""The picture's colours and strokes. Every difference is one of shape too: it must survive a grey printer."""

STYLE = """
.sk{font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans","Helvetica Neue",Arial,sans-serif;\
fill:#1b1f24}
.sk text{direction:ltr;unicode-bidi:isolate}
.sk .paper{fill:#fff}
.sk .lane{fill:#eef1f4;stroke:#8c959f}
.sk .box{fill:#fff;stroke:#57606a;stroke-width:1.2}
.sk .box-ghost{fill:none;stroke:#8c959f;stroke-width:1;stroke-dasharray:2 5}
.sk .t-title{font-size:14px;font-weight:600}
.sk .t-verdict{font-size:15px;font-weight:700;fill:#fff}
.sk .t-lane{font-size:14px;font-weight:700}
.sk .t-box{font-size:11px;fill:#57606a;font-weight:600}
.sk .t-name{font-size:12px;font-weight:600}
.sk .t-said{font-size:10.5px;fill:#57606a}
.sk .t-dead{font-size:12.5px;font-weight:800;fill:#a40e26}
.sk .t-unknown{font-size:12px;font-weight:700;fill:#5a32a3}
.sk .t-mono{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:10px}
.sk .t-mono-strong{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:10px;\
font-weight:700}
.sk .t-struck{text-decoration:line-through;fill:#57606a}
.sk .t-small{font-size:11px;fill:#57606a}
.sk .t-branch{font-size:12px}
.sk .forward{fill:none;stroke:#0550ae;stroke-width:3;stroke-linejoin:round}
.sk .reply{fill:none;stroke:#a04100;stroke-width:2.6;stroke-dasharray:8 5;stroke-linejoin:round}
.sk .doubtful{stroke-dasharray:1 6;stroke-linecap:round}
.sk .arrow-forward{fill:#0550ae}
.sk .arrow-reply{fill:#a04100}
.sk .tube-wall{fill:none;stroke:#8c959f;stroke-width:15;stroke-linejoin:round;stroke-linecap:round}
.sk .tube{fill:none;stroke:#d5dbe1;stroke-width:12.5;stroke-linejoin:round;stroke-linecap:round}
.sk .stop{fill:#fff;stroke:#1b1f24;stroke-width:2}
.sk .stop-good{fill:#1a7f37;stroke:#1a7f37}
.sk .tick{fill:none;stroke:#fff;stroke-width:2.2}
.sk .stop-unknown{fill:#fff;stroke:#5a32a3;stroke-width:2;stroke-dasharray:2 3}
.sk .stop-dead{fill:#fff;stroke:#a40e26;stroke-width:2}
.sk .cross{fill:none;stroke:#a40e26;stroke-width:4.5;stroke-linecap:round}
.sk .packet{fill:#fff8c5;stroke:#7d4e00}
.sk .death{fill:#ffebe9;stroke:#a40e26;stroke-width:2}
.sk .fix{fill:#eefbf1;stroke:#1a7f37;stroke-width:1.2}
.sk .doubt{fill:#f6f0ff;stroke:#5a32a3;stroke-width:1.5;stroke-dasharray:2 3}
.sk .fork{fill:none;stroke:#57606a}
.sk .rule{stroke:#8c959f;stroke-width:1}
.sk .v-PASS{fill:#1a7f37}.sk .v-FAIL{fill:#a40e26}.sk .v-MIXED{fill:#8a4600}.sk .v-UNKNOWN{fill:#5a32a3}
"""

DARK = """
@media screen and (prefers-color-scheme:dark){
.sk{fill:#e6edf3}
.sk .paper{fill:#0d1117}
.sk .lane{fill:#161b22;stroke:#6e7681}
.sk .box{fill:#0d1117;stroke:#8b949e}
.sk .box-ghost{stroke:#6e7681}
.sk .t-box,.sk .t-said,.sk .t-small,.sk .t-struck{fill:#9da7b1}
.sk .t-dead{fill:#ff7b72}
.sk .t-unknown{fill:#d2a8ff}
.sk .forward{stroke:#58a6ff}.sk .arrow-forward{fill:#58a6ff}
.sk .reply{stroke:#f0883e}.sk .arrow-reply{fill:#f0883e}
.sk .tube-wall{stroke:#6e7681}.sk .tube{stroke:#30363d}
.sk .stop{fill:#0d1117;stroke:#e6edf3}
.sk .stop-unknown{fill:#0d1117;stroke:#d2a8ff}
.sk .stop-dead{fill:#0d1117;stroke:#ff7b72}
.sk .cross{stroke:#ff7b72}
.sk .packet{fill:#332b00;stroke:#d4a72c}
.sk .death{fill:#3c1115;stroke:#ff7b72}
.sk .fix{fill:#0f2417;stroke:#3fb950}
.sk .doubt{fill:#1f1533;stroke:#d2a8ff}
.sk .fork{stroke:#9da7b1}
.sk .rule{stroke:#6e7681}
}
"""
