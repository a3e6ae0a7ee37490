//! What rules say, and what is said of rules that can't be read.

use super::*;

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| Rule::parse(text).unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A list of rules, when it is written.
type Texts = &'static [&'static str];

#[test]
fn rules_decide_about_addresses() {
    // allow, deny, address, names it was found by, may the guest talk to it
    type Case = (Option<Texts>, Texts, &'static str, Texts, bool);
    let cases: &[Case] = &[
        (None, &[], "203.0.113.1:80", &[], true),
        (None, &["203.0.113.0/24"], "203.0.113.1:80", &[], false),
        (None, &["203.0.113.0/24"], "203.0.114.1:80", &[], true),
        (None, &["203.0.113.1"], "203.0.113.1:80", &[], false),
        (None, &["203.0.113.1:81"], "203.0.113.1:80", &[], true),
        (None, &[":25"], "203.0.113.1:25", &[], false),
        (None, &[":25"], "[2001:db8::1]:25", &[], false),
        (None, &["loopback"], "127.9.9.9:80", &[], false),
        (None, &["loopback"], "[::1]:80", &[], false),
        (None, &["loopback"], "0.0.0.0:80", &[], false),
        (None, &["loopback"], "[::ffff:127.0.0.1]:80", &[], false),
        (None, &["private"], "10.1.1.1:80", &[], false),
        (None, &["private"], "172.16.0.1:80", &[], false),
        (None, &["private"], "172.32.0.1:80", &[], true),
        (None, &["private"], "169.254.169.254:80", &[], false),
        (None, &["private"], "[fd00::1]:80", &[], false),
        (None, &["private"], "100.127.0.1:80", &[], false),
        (None, &["::ffff:10.0.0.0/104"], "10.1.1.1:80", &[], false),
        (None, &["evil.test"], "203.0.113.1:80", &["evil.test"], false),
        (None, &["evil.test"], "203.0.113.1:80", &["good.test"], true),
        (None, &["evil.test:22"], "203.0.113.1:22", &["evil.test"], false),
        (Some(&[]), &[], "203.0.113.1:80", &[], false),
        (Some(&["203.0.113.1:80"]), &[], "203.0.113.1:80", &[], true),
        (Some(&["203.0.113.1:80"]), &[], "203.0.113.1:443", &[], false),
        (Some(&["example.com"]), &[], "203.0.113.1:80", &["example.com"], true),
        (Some(&["example.com"]), &[], "203.0.113.1:80", &["EXAMPLE.com."], true),
        (Some(&["example.com"]), &[], "203.0.113.1:80", &[], false),
        (Some(&["example.com"]), &["203.0.113.0/24"], "203.0.113.1:80", &["example.com"], false),
        (Some(&["example.com:443"]), &[], "203.0.113.1:80", &["example.com"], false),
        (Some(&["*.example.com"]), &[], "203.0.113.1:80", &["a.b.example.com"], true),
        (Some(&["*.example.com"]), &[], "203.0.113.1:80", &["example.com"], false),
        (Some(&["*.example.com"]), &[], "203.0.113.1:80", &["notexample.com"], false),
        (Some(&["loopback"]), &[":22"], "127.0.0.1:22", &[], false),
        (Some(&["[::1]:443"]), &[], "[::1]:443", &[], true),
        (Some(&["[2001:db8::/32]:443"]), &[], "[2001:db8:1::1]:443", &[], true),
        (Some(&["0.0.0.0/0"]), &[], "[2001:db8::1]:80", &[], false),
        (Some(&["bücher.example"]), &[], "203.0.113.1:80", &["xn--bcher-kva.example"], true),
    ];
    for (allow, deny, at, names, expected) in cases {
        let policy = NetworkPolicy::new(allow.map(rules), rules(deny));
        let found = policy.allows(address(at), names.iter().copied());
        assert_eq!(found, *expected, "allow {allow:?} deny {deny:?}: {at} by {names:?}");
    }
}

#[test]
fn names_are_matched_before_anybody_looks_them_up() {
    // allow, deny, name, port, may it be looked up
    type Case = (Option<Texts>, Texts, &'static str, Option<u16>, bool);
    let cases: &[Case] = &[
        (None, &[], "example.com", None, true),
        (None, &["example.com"], "Example.COM.", None, false),
        (None, &["example.com:80"], "example.com", None, true),
        (None, &["example.com:80"], "example.com", Some(80), false),
        (None, &["*.example.com"], "www.example.com", None, false),
        (Some(&["example.com"]), &[], "example.com", None, true),
        (Some(&["example.com"]), &[], "other.com", None, false),
        (Some(&["example.com:443"]), &[], "example.com", Some(80), false),
        (Some(&["example.com:443"]), &[], "example.com", None, true),
        // Its addresses may turn out to be private.
        (Some(&["private"]), &[], "database", None, true),
        (Some(&["private:5432"]), &[], "database", Some(80), false),
        (Some(&["private"]), &["database"], "database", None, false),
        (Some(&[]), &[], "example.com", None, false),
    ];
    for (allow, deny, name, port, permitted) in cases {
        let policy = NetworkPolicy::new(allow.map(rules), rules(deny));
        let expected = if *permitted { NameCheck::Permitted } else { NameCheck::Refused };
        assert_eq!(policy.check_name(name, *port), expected, "allow {allow:?} deny {deny:?}: {name} {port:?}");
    }
}

#[test]
fn a_lookup_tells_only_addresses_that_some_port_is_allowed_of() {
    let policy =
        NetworkPolicy::new(Some(rules(&["private:5432", "example.com"])), rules(&["10.0.0.0/16", "loopback:80"]));
    let tells = |ip: &str, name: &str| policy.allows_some_port(ip.parse().unwrap(), name);
    assert!(tells("10.1.0.1", "database"));
    assert!(!tells("10.0.0.1", "database"), "denied");
    assert!(!tells("203.0.113.1", "database"), "not allowed");
    assert!(tells("203.0.113.1", "example.com"), "allowed by its name");
    assert!(tells("127.0.0.1", "example.com"), "denied for one port only");
}

#[test]
fn wrong_rules_are_told_with_what_was_meant() {
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("", "can't be empty", None),
        ("   ", "can't be empty", None),
        ("*", "no rule", None),
        ("https://example.com/a", "not a URL", Some("example.com:443")),
        ("http://example.com:8080", "not a URL", Some("example.com:8080")),
        ("ftp://example.com", "not a URL", Some("example.com")),
        ("example.com:http", "a port", None),
        ("example.com:0", "a port", None),
        ("example.com:70000", "a port", None),
        (":", "a port", None),
        ("10.0.0.0/33", "0 to 32", None),
        ("2001:db8::/129", "0 to 128", None),
        ("10.0.0.1/8", "outside of its range", Some("10.0.0.0/8")),
        ("2001:db8::1/32", "outside of its range", Some("2001:db8::/32")),
        ("2001:db8::/32:443", "needs brackets", Some("[2001:db8::/32]:443")),
        ("[::1", "not closed", Some("[::1]")),
        ("[::1]443", "only a port", None),
        ("[10.0.0.1]:80", "IPv6 addresses only", Some("10.0.0.1:80")),
        ("example.com/24", "must be an address", None),
        ("foo.*.com", "beginning of a name", None),
        ("loopbck", "a slip", Some("loopback")),
        ("privat:80", "a slip", Some("private")),
        ("exa mple.com", "no host name", None),
        ("10.0.0", "no host name", None),
        ("a..b", "no host name", None),
    ];
    for (text, problem, suggestion) in cases {
        let error = Rule::parse(text).expect_err(text);
        assert!(error.problem.contains(problem), "{text:?}: {error}");
        assert_eq!(error.suggestion.as_deref(), *suggestion, "{text:?}");
        if let Some(meant) = suggestion {
            assert!(Rule::parse(meant).is_ok(), "{meant}");
        }
    }
    assert!(Rule::parse("privat.").is_ok(), "the dot makes it a name");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_makes_the_parser_panic(text in ".{0,40}") {
            let _ = Rule::parse(&text);
        }

        #[test]
        fn a_range_has_its_addresses_and_no_others(bits: u32, prefix in 0u8..=32, other: u32) {
            let network = masked(Ipv4Addr::from_bits(bits).into(), prefix);
            let rule = Rule::parse(&format!("{network}/{prefix}")).unwrap();
            prop_assert!(rule.matches_address(Ipv4Addr::from_bits(bits).into()));
            let inside = u64::from(bits) >> (32 - prefix) == u64::from(other) >> (32 - prefix);
            prop_assert_eq!(rule.matches_address(Ipv4Addr::from_bits(other).into()), inside);
        }
    }
}
