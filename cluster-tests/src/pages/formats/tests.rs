//! Pages of section 5 made of small documents.

use super::*;

const TABLE: &str = "| key | default | what |\n|---|---|---|\n| `a` | required | this |\n";

fn made(section: &str) -> Result<String> {
    let text = format!("# Configuration\nFor all.\n\n## Other\nnot this\n\n## agent.toml\n{section}\n## After\nnor that\n");
    let stamp = Stamp { date: "2026-01-02".to_owned(), version: "1.2.3".to_owned() };
    page(&super::super::tree(), &text, &FORMATS[0], &stamp, &["init".to_owned(), "apply".to_owned()])
}

fn error(section: &str) -> String {
    format!("{:#}", made(section).expect_err(section))
}

#[test]
fn a_page_has_its_section_and_the_introduction_and_no_more() {
    let page = made(&format!("Text; see `lvs-agent init`.\n\n{TABLE}\n```toml\na = 1\n\n```\nLater.\n\n- p\n")).unwrap();
    let wanted = ".TH AGENT.TOML 5 \"2026-01-02\" \"lvs\\-agent 1.2.3\" \"File Formats\"\n.ad l\n.nh\n.nr HY 0\n.SH NAME\nagent.toml \\- configuration of one node of an \
                  lvs\\-agent cluster\n.SH DESCRIPTION\nFor all.\n.PP\nText; see \\fBlvs\\-agent init\\fR.\n.SH KEYS\n.TP\n\\fBa\\fR\nThis.\n.br\nRequired.\n\
                  .SH EXAMPLE\n.EX\na = 1\n\n.EE\n.SH NOTES\nLater.\n.IP \\(bu 2\np\n.SH FILES\n\\fI/etc/lvs\\-agent/agent.toml\\fR\n.SH \"SEE ALSO\"\n\
                  \\fBcluster.toml\\fR(5), \\fBlvs\\-agent\\fR(8), \\fBlvs\\-agent\\-init\\fR(8)\n";
    assert_eq!(page, wanted);
}

#[test]
fn defaults_are_told_for_each_key_where_there_is_one_for_each() {
    let table = "| key | default | what |\n|---|---|---|\n| `a`, `b` | required, `[1, 2]` | this |\n| `c`, `d` | the, own | `that` |\n| `[e]` `f` | `3` | x. |\n| `g`, `h` | none | y |\n";
    let page = made(table).unwrap();
    for wanted in [
        "\\fBa\\fR, \\fBb\\fR\nThis.\n.br\n\\fBa\\fR is required; \\fBb\\fR defaults to \\fB[1, 2]\\fR.\n",
        "\\fBc\\fR, \\fBd\\fR\n\\fBthat\\fR.\n.br\n\\fBc\\fR defaults to the; \\fBd\\fR defaults to own.\n",
        "\\fB[e]\\fR \\fBf\\fR\nX.\n.br\nDefault: \\fB3\\fR.\n",
        "\\fBg\\fR, \\fBh\\fR\nY.\n.br\nDefault: none.\n",
    ] {
        assert!(page.contains(wanted), "{wanted}\nis not in\n{page}");
    }
}

#[test]
fn a_toml_table_has_a_heading_of_its_own() {
    let page = made(&format!("**`[[vip]]`**: addresses.\n\n{TABLE}\n**`[b]`**\n\n{TABLE}")).unwrap();
    assert!(page.contains(".SH KEYS\n.SS [[vip]]\nAddresses.\n.TP\n"), "{page}");
    assert!(page.contains("Required.\n.SS [b]\n.TP\n\\fBa\\fR"), "{page}");
}

#[test]
fn links_name_what_the_package_has() {
    let link = |text: &str| made(&format!("See {text}.\n\n{TABLE}"));
    for (text, wanted) in [
        (
            "[security.md](security.md#the-remote-api)",
            "See \\fI/usr/share/doc/lvs\\-agent/security.md\\fR, \"The remote API\".\n",
        ),
        ("[examples](../examples/README.md)", "See \\fI/usr/share/doc/lvs\\-agent/examples/\\fR.\n"),
        ("[README](../README.md)", "See README (\\fI/usr/share/doc/lvs\\-agent/README.md\\fR).\n"),
        ("[how](lease.md)", "See how (\\fI/usr/share/doc/lvs\\-agent/lease.md\\fR).\n"),
        ("[there](https://a.org/)", "See there <https://a.org/>.\n"),
        ("[below](#after)", "See below.\n"),
    ] {
        let page = link(text).unwrap();
        assert!(page.contains(wanted), "{wanted}\nis not in\n{page}");
    }
    for (text, wanted) in [
        ("[x](absent.md)", "docs/configuration.md:8: cannot read docs/absent.md"),
        ("[x](security.md#absent)", "docs/security.md has no heading for #absent"),
        ("[x](../Cargo.toml)", "the link to ../Cargo.toml is to no document"),
    ] {
        let error = format!("{:#}", link(text).expect_err(text));
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn what_is_missing_or_not_known_is_an_error_with_its_line() {
    let text = format!("# Configuration\n\n## agent.tml\n{TABLE}");
    let stamp = Stamp { date: String::new(), version: String::new() };
    let missing = page(&super::super::tree(), &text, &FORMATS[0], &stamp, &[]).unwrap_err().to_string();
    assert_eq!(missing, "docs/configuration.md has no section `## agent.toml`");
    for (section, wanted) in [
        ("Text.\n", "the section `## agent.toml` has no table".to_owned()),
        ("**`[a]`**\n\nText.\n", "docs/configuration.md:10: a table of keys is due here".to_owned()),
        ("**`[a]`**\n\n- p\n", "docs/configuration.md:8: no table of keys follows".to_owned()),
        ("**`[a]`**\n", "docs/configuration.md:8: no table of keys follows".to_owned()),
        (
            "| key | what |\n|---|---|\n| `a` | b |\n",
            "docs/configuration.md:8: the columns are not key, default, what".to_owned(),
        ),
        (&format!("{TABLE}| b | c | d |\n"), "docs/configuration.md:11: a row without a key".to_owned()),
        (&format!("{TABLE}| `b` | | d |\n"), "docs/configuration.md:11: a row with an empty cell".to_owned()),
        (&format!("{TABLE}\n> quoted\n"), "docs/configuration.md:12: the generator of man pages does not know".to_owned()),
    ] {
        let error = error(section);
        assert!(error.contains(&wanted), "{section}: {error}");
    }
}
