//! Which value counts, who said so, and what limited it.
#![allow(clippy::unwrap_used, reason = "test set-up")]

use aspera_conf::{
    Assignment, Command, Conf, Error, Record, Verb,
    effective::{Access, Authorization, Effective},
    resolve::{Origin, Person, Resolver},
    schema::{Section, Value},
};
use fasp_core::{Rate, RatePolicy};
use proptest::prelude::*;

fn conf(lines: &[&str]) -> Conf {
    let mut conf = Conf::new();
    for line in lines {
        conf.apply(&Command::parse(line).unwrap()).unwrap();
    }
    conf
}

fn person<'a>(name: &'a str, groups: &'a [&'a str]) -> Person<'a> {
    Person {
        name,
        groups,
        ..Person::default()
    }
}

/// The worked example of inheritance: a user in two groups.
fn worked_example() -> Conf {
    let rate = "transfer_in_bandwidth_flow_target_rate_default";
    let low = "transfer_in_bandwidth_flow_min_rate_default";
    let policy = "transfer_in_bandwidth_flow_policy_default";
    conf(&[
        &format!("set_node_data;{rate},40000;{low},3000;{policy},fair;absolute,/pod/$(name)"),
        &format!(
            "set_group_data;group_name,xfer;precedence,1;{rate},15000;{low},8000;{policy},low"
        ),
        &format!("set_group_data;group_name,admin;precedence,0;{rate},10000;{low},2000"),
        &format!("set_user_data;user_name,ada;{rate},5000"),
    ])
}

#[test]
fn each_option_is_inherited_by_itself() {
    let conf = worked_example();
    let resolver = Resolver::new(&conf, person("ada", &["xfer", "admin", "unheard-of"]));
    for (option, value, origin) in [
        (
            "transfer_in_bandwidth_flow_target_rate_default",
            "5000",
            Origin::User,
        ),
        (
            "transfer_in_bandwidth_flow_min_rate_default",
            "2000",
            Origin::Group("admin".into()),
        ),
        (
            "transfer_in_bandwidth_flow_policy_default",
            "low",
            Origin::Group("xfer".into()),
        ),
        ("absolute", "/pod/ada", Origin::Section(Section::Default)),
        ("transfer_encryption_allowed_cipher", "any", Origin::BuiltIn),
    ] {
        let setting = resolver.option(option).unwrap();
        assert_eq!(setting.shown(), value, "{option}");
        assert_eq!(setting.origin, origin, "{option}");
        assert_eq!(setting.clamp, None, "{option}");
    }
    let all = Effective::of(&resolver).unwrap();
    assert_eq!(all.incoming.target.default.value, Rate::from_mbps(5));
    assert_eq!(all.incoming.minimum.default.value, Rate::from_mbps(2));
    assert_eq!(all.incoming.policy.default.value, RatePolicy::Low);
    assert_eq!(all.outgoing.target.default.value, Rate::from_mbps(10));
    assert!(matches!(&all.access, Access::Docroot(root) if root.value == "/pod/ada"));
    assert_eq!(all.udp_port.value, 33001);
}

#[test]
fn a_cap_lowers_a_default_and_what_a_client_asks_for_and_says_whose_it_is() {
    let conf = conf(&[
        "set_node_data;transfer_in_bandwidth_flow_target_rate_cap,8000",
        "set_group_data;group_name,staff;transfer_in_bandwidth_flow_policy_allowed,fair",
        "set_user_data;user_name,ada;transfer_in_bandwidth_flow_target_rate_default,20000;\
         transfer_in_bandwidth_flow_policy_default,fixed",
    ]);
    let resolver = Resolver::new(&conf, person("ada", &["staff"]));
    let rate = resolver
        .option("transfer_in_bandwidth_flow_target_rate_default")
        .unwrap();
    assert_eq!(rate.value, Some(Value::Unsigned(8000)));
    assert_eq!(rate.origin, Origin::User);
    let clamp = rate.clamp.unwrap();
    assert_eq!(clamp.by.name, "transfer_in_bandwidth_flow_target_rate_cap");
    assert_eq!(clamp.origin, Origin::Section(Section::Default));
    assert_eq!(clamp.from, Value::Unsigned(20_000));

    let incoming = Effective::of(&resolver).unwrap().incoming;
    assert_eq!(incoming.policy.default.value, RatePolicy::Fair);
    let granted = incoming.target.grant(Some(Rate::from_mbps(100)));
    assert_eq!(granted.value, Rate::from_mbps(8));
    assert_eq!(granted.limited_by, Some(Origin::Section(Section::Default)));
    assert_eq!(
        incoming.target.grant(Some(Rate::from_mbps(1))).limited_by,
        None
    );
    assert_eq!(incoming.target.grant(None).value, Rate::from_mbps(8));
    let policy = incoming.policy.grant(Some(RatePolicy::High));
    assert_eq!(policy.value, RatePolicy::Fair);
    assert_eq!(policy.limited_by, Some(Origin::Group("staff".into())));
    assert_eq!(
        incoming.policy.grant(Some(RatePolicy::Low)).limited_by,
        None
    );
}

#[test]
fn absent_and_as_null_are_silent_and_empty_speaks() {
    let text = "<CONF><default><file_system><access><paths><path><absolute>/srv</absolute></path></paths></access>\
        <partial_file_suffix>.part</partial_file_suffix><resume_suffix></resume_suffix></file_system></default>\
        <aaa><realms><realm><users><user><name>ada</name><file_system>\
        <access><paths><path><absolute></absolute></path></paths></access>\
        <partial_file_suffix>AS_NULL</partial_file_suffix></file_system></user></users></realm></realms></aaa></CONF>";
    let conf = Conf::parse(text.as_bytes()).unwrap();
    let all = Effective::of(&Resolver::new(&conf, person("ada", &[]))).unwrap();
    assert_eq!(all.access, Access::Everything);
    assert_eq!(all.files.partial_suffix.value.as_deref(), Some(".part"));
    assert_eq!(all.files.resume_suffix.value, None);
    let other = Effective::of(&Resolver::new(&conf, person("bob", &[]))).unwrap();
    assert!(matches!(other.access, Access::Docroot(_)));
}

#[test]
fn a_bad_value_is_passed_over_and_told() {
    let text = "<CONF><default><transfer><in><bandwidth><flow><target_rate><cap>500</cap></target_rate></flow></bandwidth></in></transfer></default>\n\
        <aaa><realms><realm><users><user><name>ada</name><transfer><in><bandwidth><flow><target_rate><cap>10M</cap>\
        </target_rate></flow></bandwidth></in></transfer></user></users></realm></realms></aaa></CONF>";
    let conf = Conf::parse(text.as_bytes()).unwrap();
    let resolver = Resolver::new(&conf, person("ada", &[]));
    let cap = resolver
        .option("transfer_in_bandwidth_flow_target_rate_cap")
        .unwrap();
    assert_eq!(cap.value, Some(Value::Unsigned(500)));
    assert_eq!(cap.refused.len(), 1);
    assert_eq!(cap.refused[0].origin, Origin::User);
    assert_eq!(cap.refused[0].position.line, 2);
}

#[test]
fn names_that_would_leave_the_docroot_are_refused() {
    let conf = conf(&[
        "set_node_data;absolute,/srv/$(name)",
        "set_user_data;user_name,h;absolute,$(home)/in",
        "set_user_data;user_name,u;absolute,/$(what)",
    ]);
    for name in ["..", ".", "", "a/b", "a\0"] {
        let refused = Resolver::new(&conf, person(name, &[])).option("absolute");
        assert!(matches!(refused, Err(Error::UnsafeName(_))), "{name:?}");
    }
    let home = |home| {
        let person = Person {
            name: "h",
            home,
            ..Person::default()
        };
        Resolver::new(&conf, person).option("absolute")
    };
    assert_eq!(home(Some("/home/h")).unwrap().shown(), "/home/h/in");
    assert!(matches!(home(None), Err(Error::Variable(name)) if name == "home"));
    assert!(matches!(
        home(Some("/home/../etc")),
        Err(Error::UnsafeName(_))
    ));
    let unknown = Resolver::new(&conf, person("u", &[])).option("absolute");
    assert!(matches!(unknown, Err(Error::Variable(name)) if name == "what"));
}

#[test]
fn docroot_and_restriction_exclude_each_other_and_lists_replace() {
    let conf = conf(&[
        "set_node_data;absolute,/srv",
        "set_group_data;group_name,g;file_restriction,|file:////a/*|!file:////a/b",
        "set_user_data;user_name,ada;absolute,;file_restriction,|*",
        "set_user_data;user_name,bob;absolute,",
    ]);
    let of = |name, groups: &[&str]| Effective::of(&Resolver::new(&conf, person(name, groups)));
    assert!(matches!(
        of("eve", &["g"]),
        Err(Error::DocrootAndRestriction(_))
    ));
    let Access::Restricted(list) = of("ada", &["g"]).unwrap().access else {
        unreachable!("ada is restricted");
    };
    assert_eq!(list.value.len(), 1);
    let Access::Restricted(list) = of("bob", &["g"]).unwrap().access else {
        unreachable!("bob is restricted by the group");
    };
    assert_eq!(list.origin, Origin::Group("g".into()));
    assert!(list.value[1].is_rejecting);
    assert_eq!(list.value[1].glob, "file:////a/b");
}

#[test]
fn a_docroot_may_be_for_one_peer() {
    let text = "<CONF><default><file_system><access><paths>\
        <path><absolute>/all</absolute></path>\
        <path><absolute peer_ip='10.0.0.7'>/seven</absolute><write_allowed>false</write_allowed></path>\
        </paths></access></file_system></default></CONF>";
    let conf = Conf::parse(text.as_bytes()).unwrap();
    let from = |peer: &str| {
        let person = Person {
            name: "a",
            peer: peer.parse().ok(),
            ..Person::default()
        };
        let resolver = Resolver::new(&conf, person);
        let all = Effective::of(&resolver).unwrap();
        (
            resolver.option("absolute").unwrap().shown(),
            all.may_write.value,
        )
    };
    assert_eq!(from("10.0.0.7"), ("/seven".to_owned(), false));
    assert_eq!(from("10.0.0.8"), ("/all".to_owned(), true));
    assert_eq!(from(""), ("/all".to_owned(), true));
}

#[test]
fn tokens_and_denials_are_per_direction() {
    let conf = conf(&[
        "set_node_data;authorization_transfer_in_value,token;authorization_transfer_out_value,deny",
    ]);
    let all = Effective::of(&Resolver::new(&conf, person("a", &[]))).unwrap();
    assert_eq!(all.uploads.value, Authorization::Token);
    assert_eq!(all.downloads.value, Authorization::Deny);
}

#[test]
fn secrets_are_not_shown() {
    let conf = conf(&["set_node_data;token_encryption_key,hunter2;absolute,s3://id:key@s3/b"]);
    let resolver = Resolver::new(&conf, person("a", &[]));
    assert_eq!(
        resolver.option("token_encryption_key").unwrap().shown(),
        "[redacted]"
    );
    assert_eq!(
        resolver.option("absolute").unwrap().shown(),
        "s3://[redacted]@s3/b"
    );
}

fn set(record: Record, value: Option<u32>) -> Command {
    let value =
        value.map(|value| Assignment::new("transfer_log_stats_interval", value.to_string()));
    Command {
        verb: Verb::Set,
        record,
        assignments: value.into_iter().collect(),
    }
}

proptest! {
    /// The rules, written a second time and in the most direct way.
    #[test]
    fn resolution_agrees_with_a_naive_oracle(
        user: Option<u32>,
        node: Option<u32>,
        groups in proptest::collection::vec((proptest::option::of(0_u8..4), any::<Option<u32>>(), any::<bool>()), 0..6),
    ) {
        let mut conf = Conf::new();
        conf.apply(&set(Record::Node, node)).unwrap();
        conf.apply(&set(Record::User("u".into()), user)).unwrap();
        let names: Vec<String> = (0..groups.len()).map(|n| format!("g{n}")).collect();
        for (name, (precedence, value, _)) in names.iter().zip(&groups) {
            conf.apply(&set(Record::Group(name.clone()), *value)).unwrap();
            if let Some(number) = precedence {
                let line = format!("set_group_data;group_name,{name};precedence,{number}");
                conf.apply(&Command::parse(&line).unwrap()).unwrap();
            }
        }
        let member: Vec<&str> = names.iter().zip(&groups).filter(|(_, g)| g.2).map(|(n, _)| n.as_str()).collect();

        let mut expected = (20, Origin::BuiltIn);
        if let Some(value) = node {
            expected = (value, Origin::Section(Section::Default));
        }
        let mut best = f64::INFINITY;
        for (name, (precedence, value, is_member)) in names.iter().zip(&groups) {
            let precedence = precedence.map_or(1000.0, f64::from);
            if let (Some(value), true) = (value, *is_member)
                && precedence < best
            {
                best = precedence;
                expected = (*value, Origin::Group(name.clone()));
            }
        }
        if let Some(value) = user {
            expected = (value, Origin::User);
        }
        let found = Resolver::new(&conf, person("u", &member)).option("transfer_log_stats_interval").unwrap();
        prop_assert_eq!((found.value, found.origin), (Some(Value::Unsigned(expected.0.into())), expected.1));
    }
}

#[test]
fn a_trunk_follows_its_schedule_and_a_bad_one_counts_as_none() {
    use aspera_conf::effective::{Trunk, WeekTime};
    let text = "<CONF><trunks>\
        <trunk><id>8</id><name>office</name><on>true</on><capacity><schedule>start=08 end=19 capacity=900</schedule></capacity></trunk>\
        <trunk><id>9</id><capacity><schedule>lots</schedule></capacity></trunk></trunks></CONF>";
    let trunks = Trunk::all(&Conf::parse(text.as_bytes()).unwrap());
    assert_eq!((trunks[0].id, trunks[0].name.as_str()), (8, "office"));
    let at = |n: usize, minute| trunks[n].capacity.at(WeekTime { day: 2, minute }).kbps();
    assert_eq!((at(0, 600), at(0, 1300), at(1, 600)), (900, 50_000, 50_000));
    assert!(trunks[0].is_on && !trunks[1].is_on);
}
