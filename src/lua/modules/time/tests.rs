use proptest::prelude::*;

use super::layout::{format, parse};
use super::moment::{Moment, Span};
use super::zone::Zone;

fn moment(date: [i64; 3], clock: [i64; 4], zone: Zone) -> Moment {
    Moment::of_civil(date, clock, zone).expect("a time")
}

#[test]
fn spans_are_shown_as_go_shows_them() {
    for (nanos, shown) in [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (4 * 60_000_000_000 + 5_000_000_000, "4m5s"),
        (4 * 60_000_000_000 + 5_001_000_000, "4m5.001s"),
        (5 * 3_600_000_000_000 + 6 * 60_000_000_000 + 7_001_000_000, "5h6m7.001s"),
        (8 * 60_000_000_000 + 1, "8m0.000000001s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
        (-1_500_000, "-1.5ms"),
    ] {
        assert_eq!(Span(nanos).to_string(), shown);
    }
}

#[test]
fn words_that_only_begin_like_a_part_stay() {
    let time = moment([2024, 2, 5], [4, 7, 9, 0], Zone::Utc);
    for (layout, shown) in [
        ("Januaryx Janx Janet Monx Month", "Februaryx Janx Janet Monx Month"),
        ("_2006 _2 __2 002 2", "_2024  5  36 036 5"),
        ("15h04 3h4 03.04", "04h07 4h7 04.07"),
        ("5.000 5,999 05.00001", "9.000 9 09.00002"),
        ("PM pm", "AM am"),
        ("Z07:00 Z0700 -07 -07:00:00", "Z Z +00 +00:00:00"),
        ("é 2006", "é 2024"),
    ] {
        assert_eq!(format(&time, layout), shown, "{layout}");
    }
}

#[test]
fn zones_of_texts_are_those_of_the_location() {
    let york = Zone::of_name("America/New_York").expect("a zone");
    let read = |text: &str| parse("2006-01-02 15:04 MST", text, Some(&york)).expect(text);
    let shown = |time: &Moment| format(time, "15:04 MST -0700");
    assert_eq!(shown(&read("2024-07-01 12:00 EDT")), "12:00 EDT -0400");
    assert_eq!(shown(&read("2024-07-01 12:00 UTC")), "12:00 UTC +0000");
    assert_eq!(shown(&read("2024-07-01 12:00 ABC")), "12:00 ABC +0000");
    assert_eq!(shown(&read("2024-07-01 12:00 GMT+3")), "12:00 GMT+3 +0300");
    // An offset that the location has then is the location's.
    let time = parse("2006-01-02 15:04 -0700", "2024-07-01 12:00 -0400", Some(&york)).expect("a time");
    assert_eq!(time.zone, york);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        seconds in -62_135_596_800_i64..253_402_300_000,
        nanos in 0_i64..1_000_000_000,
        minutes in -14 * 60..14 * 60_i64,
    ) {
        let zone = Zone::fixed("", minutes * 60).expect("a zone");
        let at = jiff::Timestamp::new(seconds, nanos as i32).expect("a time");
        let time = Moment { at, zone };
        prop_assume!((1..=9999).contains(&time.civil().year()));
        let layout = "Monday, 02-January-2006 15:04:05.000000000 -07:00";
        let text = format(&time, layout);
        let back = parse(layout, &text, None).map_err(TestCaseError::fail)?;
        prop_assert_eq!(back.at, time.at);
    }

    #[test]
    fn no_text_and_no_layout_panics(layout in "[-0-9JanMonSTPMpmZ_:., é]{0,24}", text in "\\PC{0,24}") {
        let time = moment([2024, 2, 5], [4, 7, 9, 0], Zone::Utc);
        let shown = format(&time, &layout);
        let _ = parse(&layout, &shown, None);
        let _ = parse(&layout, &text, None);
    }

    #[test]
    fn parts_out_of_range_are_carried_over_or_refused(date in any::<[i64; 3]>(), clock in any::<[i64; 4]>()) {
        let _ = Moment::of_civil(date, clock, Zone::Utc);
    }
}
