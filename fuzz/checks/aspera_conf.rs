//! A configuration: what is read is written as it was, and an edit can be read again.

use aspera_conf::{
    Command, Conf,
    effective::Effective,
    resolve::{Person, Resolver},
    schema::{self, Section},
};

pub(crate) fn check(bytes: &[u8]) {
    let mut conf = match Conf::parse(bytes) {
        Ok(conf) => conf,
        Err(error) => return drop((error.to_string(), error.hint())),
    };
    assert_eq!(conf.text().as_bytes(), bytes);
    for finding in aspera_conf::check(&conf) {
        assert!(finding.position.line > 0 && finding.position.column > 0);
    }
    let users = conf.users();
    let groups = conf.groups();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let person = Person {
        name: users.first().map_or("ada", String::as_str),
        home: Some("/home/ada"),
        groups: &groups,
        peer: None,
    };
    drop(Effective::of(&Resolver::new(&conf, person)));
    set_and_reset(&mut conf);
}

fn set_and_reset(conf: &mut Conf) {
    let overwrite = schema::find(Section::Default, "overwrite").expect("it is in the table");
    for line in [
        "set_node_data;overwrite,deny;absolute,/a&b;file_filters,|+ a|- <b>",
        "set_user_data;user_name,ada;overwrite,allow",
        "set_node_data;overwrite,AS_NULL;absolute,AS_NULL;file_filters,AS_NULL",
    ] {
        let command = Command::parse(line).expect("the line is one");
        // Only a limit may be in the way.
        if let Err(error) = conf.apply(&command) {
            assert!(
                matches!(error, aspera_conf::Error::Document { .. }),
                "{error}"
            );
            return;
        }
        let again = Conf::parse(conf.text().as_bytes()).expect("what we write can be read");
        assert_eq!(again.text(), conf.text());
    }
    assert_eq!(conf.stated(&aspera_conf::Record::Node, overwrite), None);
}
